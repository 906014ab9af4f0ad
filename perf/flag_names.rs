//! PerfTest's flags have names of several letters behind one dash (`-qp`), which the argument
//! parser does not know: they are rewritten to their long names before it sees them.

use clap::Command;

/// PerfTest's short names of more than one letter, and the long names that we parse.
const ALIASES: [(&str, &str); 19] = [
    ("ad", "auto-delete"),
    ("ca", "consumer-args"),
    ("csd", "consumer-start-delay"),
    ("ct", "confirm-timeout"),
    ("mp", "message-properties"),
    ("na", "nack"),
    ("pi", "polling-interval"),
    ("po", "polling"),
    ("prsd", "producer-random-start-delay"),
    ("qa", "queue-args"),
    ("qp", "queue-pattern"),
    ("qpf", "queue-pattern-from"),
    ("qpt", "queue-pattern-to"),
    ("qq", "quorum-queue"),
    ("re", "requeue"),
    ("rkcs", "routing-key-cache-size"),
    ("st", "shutdown-timeout"),
    ("vr", "variable-rate"),
    ("vs", "variable-size"),
];

/// A flag that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no flag {flag}; the nearest is {nearest} (see haremq-perf run --help)")]
pub(crate) struct UnknownFlag {
    /// As written.
    pub(crate) flag: String,
    /// With its dashes.
    pub(crate) nearest: String,
}

/// Rewrites the flags of `arguments` for the parser of `command`.
///
/// # Errors
/// [`UnknownFlag`] for the first one that is not known.
pub(crate) fn rewrite(
    command: &Command,
    arguments: impl IntoIterator<Item = String>,
) -> Result<Vec<String>, UnknownFlag> {
    let known = Known::of(command);
    let mut rewritten = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (argument.as_str(), None),
        };
        let Some(long) = known.long(flag)? else {
            rewritten.push(argument);
            continue;
        };
        rewritten.push(value.map_or(format!("--{long}"), |value| format!("--{long}={value}")));
        if value.is_none() && known.takes_value(&long) {
            rewritten.extend(arguments.next());
        }
    }
    Ok(rewritten)
}

struct Known<'a> {
    command: &'a Command,
}

impl<'a> Known<'a> {
    fn of(command: &'a Command) -> Known<'a> {
        Known { command }
    }

    /// The long name that a written flag stands for; `None` if it is no flag at all.
    fn long(&self, flag: &str) -> Result<Option<String>, UnknownFlag> {
        let Some(name) = flag.strip_prefix('-').filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        // A negative number is a value.
        if name.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
            return Ok(None);
        }
        let found = match name.strip_prefix('-') {
            Some("help" | "") => return Ok(None),
            Some(long) => self.longs().find(|known| known == long),
            None => self.long_of_short(name),
        };
        found.map(Some).ok_or_else(|| self.unknown(flag))
    }

    fn long_of_short(&self, name: &str) -> Option<String> {
        let alias = ALIASES.iter().find(|(short, _)| *short == name).map(|(_, long)| *long);
        // The Java parser also takes long names behind one dash.
        let long = self.longs().find(|known| known == name);
        let mut letters = name.chars();
        let letter = letters.next().filter(|_| letters.next().is_none());
        let by_letter = self
            .command
            .get_arguments()
            .find(|argument| letter.is_some() && argument.get_short() == letter);
        let by_letter = by_letter.and_then(|argument| argument.get_long());
        by_letter.or(alias).map(str::to_owned).or(long)
    }

    fn longs(&self) -> impl Iterator<Item = String> + '_ {
        self.command.get_arguments().filter_map(|argument| argument.get_long()).map(str::to_owned)
    }

    fn takes_value(&self, long: &str) -> bool {
        let mut arguments = self.command.get_arguments();
        let found = arguments.find(|argument| argument.get_long() == Some(long));
        found.is_some_and(|argument| argument.get_action().takes_values())
    }

    fn unknown(&self, flag: &str) -> UnknownFlag {
        let shorts = self.command.get_arguments().filter_map(|argument| argument.get_short());
        let shorts = shorts.map(|letter| format!("-{letter}"));
        let aliases = ALIASES.iter().map(|(short, _)| format!("-{short}"));
        let names = self.longs().map(|long| format!("--{long}")).chain(aliases).chain(shorts);
        let nearest = names.min_by_key(|name| distance(name, flag));
        UnknownFlag { flag: flag.to_owned(), nearest: nearest.unwrap_or_default() }
    }
}

/// Edits (insert, remove, replace a character) that turn one text into the other.
pub(crate) fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::options::RunCommand;

    fn rewritten(arguments: &[&str]) -> Result<Vec<String>, UnknownFlag> {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        rewrite(&RunCommand::command(), arguments)
    }

    #[test]
    fn flags_of_several_letters_become_long_ones() {
        let flags = ["-x", "2", "-qp", "q-%d", "-qpf", "1", "-ad", "false", "-c", "-1", "-a"];
        let expected = [
            "--producers",
            "2",
            "--queue-pattern",
            "q-%d",
            "--queue-pattern-from",
            "1",
            "--auto-delete",
            "false",
            "--confirm",
            "-1",
            "--autoack",
        ];
        assert_eq!(rewritten(&flags).expect("all are known"), expected);
    }

    #[test]
    fn values_that_look_like_flags_stay_values() {
        assert_eq!(rewritten(&["-u", "-qp"]).expect("known"), ["--queue", "-qp"]);
        assert_eq!(rewritten(&["--queue=-zz"]).expect("known"), ["--queue=-zz"]);
    }

    #[test]
    fn an_unknown_flag_names_its_nearest() {
        let nearest = |flag| rewritten(&[flag]).expect_err("unknown").nearest;
        assert_eq!(nearest("--producer"), "--producers");
        assert_eq!(nearest("-qpx"), "-qp");
        assert_eq!(nearest("--confrm"), "--confirm");
    }

    #[test]
    fn every_alias_has_its_flag() {
        let command = RunCommand::command();
        let known = Known::of(&command);
        for (_, long) in ALIASES {
            assert!(known.longs().any(|known| known == long), "{long}");
        }
    }
}
