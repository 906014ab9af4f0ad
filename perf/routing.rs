//! Which queues a message reaches, as far as the generator needs to know what to expect.

use crate::arguments::pairs;

/// How an exchange chooses among its bindings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matching {
    /// Equal keys, also of the default exchange.
    Direct,
    /// All.
    Fanout,
    /// Words with `*` and `#`.
    Topic,
    /// All bindings, or none: the headers of all messages of a run are the same.
    Headers {
        /// Whether they match.
        matches: bool,
    },
    /// A type that we do not know: nothing can be expected.
    Unknown,
}

impl Matching {
    /// The matching of an exchange type.
    pub(crate) fn of_type(name: &str, headers: &str, bind_headers: &str) -> Matching {
        match name {
            "direct" => Matching::Direct,
            "fanout" => Matching::Fanout,
            "topic" => Matching::Topic,
            "headers" => Matching::Headers { matches: headers_match(headers, bind_headers) },
            _ => Matching::Unknown,
        }
    }

    /// Whether a message with this key passes a binding with that key; `None` if unknown.
    pub(crate) fn passes(&self, routing_key: &str, binding_key: &str) -> Option<bool> {
        match self {
            Matching::Direct => Some(routing_key == binding_key),
            Matching::Fanout => Some(true),
            Matching::Topic => Some(topic_matches(routing_key, binding_key)),
            Matching::Headers { matches } => Some(*matches),
            Matching::Unknown => None,
        }
    }
}

fn topic_matches(key: &str, pattern: &str) -> bool {
    let key: Vec<&str> = words(key);
    let pattern: Vec<&str> = words(pattern);
    words_match(&key, &pattern)
}

fn words(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split('.').collect() }
}

fn words_match(key: &[&str], pattern: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((&"#", rest)), _) => (0..=key.len()).any(|skip| words_match(&key[skip..], rest)),
        (Some(_), None) => false,
        (Some((word, rest)), Some((first, others))) => {
            (*word == "*" || word == first) && words_match(others, rest)
        }
    }
}

fn headers_match(headers: &str, bind_headers: &str) -> bool {
    let (headers, wanted) =
        (pairs(headers).unwrap_or_default(), pairs(bind_headers).unwrap_or_default());
    let mode = wanted.iter().find(|(name, _)| *name == "x-match").map_or("all", |(_, mode)| *mode);
    let all_count = mode.ends_with("-with-x");
    let mut wanted = wanted
        .iter()
        .filter(|(name, _)| if all_count { *name != "x-match" } else { !name.starts_with("x-") });
    if mode.starts_with("any") {
        wanted.any(|pair| headers.contains(pair))
    } else {
        wanted.all(|pair| headers.contains(pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_match_by_words() {
        for (key, pattern, matches) in [
            ("a.b.c", "a.*.c", true),
            ("a.b.c", "a.#", true),
            ("a", "a.#", true),
            ("a.b", "#.b", true),
            ("", "#", true),
            ("a.b", "*", false),
            ("a.b.c", "a.*", false),
            ("", "*", false),
        ] {
            assert_eq!(topic_matches(key, pattern), matches, "{key} {pattern}");
        }
    }

    #[test]
    fn headers_match_by_all_or_any() {
        assert!(headers_match("a=1,b=2", "x-match=all,a=1,b=2"));
        assert!(!headers_match("a=1", "a=1,b=2"));
        assert!(headers_match("a=1", "x-match=any,a=1,b=2"));
        assert!(!headers_match("a=2", "x-match=any,a=1"));
    }
}
