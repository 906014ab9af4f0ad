//! The committed counts as a table of `perf/RESULTS.md`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::counts::Counts;

const BEGIN: &str = "<!-- instructions -->\n";
const END: &str = "<!-- /instructions -->";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("perf/RESULTS.md")
}

pub(crate) fn is_fresh(counts: &Counts) -> Result<bool, String> {
    let document = read()?;
    Ok(with_table(&document, &table(counts))? == document)
}

pub(crate) fn write(counts: &Counts) -> Result<(), String> {
    let document = with_table(&read()?, &table(counts))?;
    fs::write(path(), document).map_err(|error| format!("{}: {error}", path().display()))
}

fn read() -> Result<String, String> {
    fs::read_to_string(path()).map_err(|error| format!("{}: {error}", path().display()))
}

fn table(counts: &Counts) -> String {
    let mut table = format!("Recorded with {}.\n\n", counts.toolchain);
    table.push_str("| Case | Instructions per message |\n|---|--:|\n");
    for (case, count) in &counts.per_message {
        writeln!(table, "| {case} | {count:.1} |").expect("a string takes it");
    }
    table
}

fn with_table(document: &str, table: &str) -> Result<String, String> {
    let parts = document.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or("perf/RESULTS.md lost the marks of the table")?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_the_marks_is_replaced() {
        let document = format!("before\n{BEGIN}old\n{END}\nafter\n");
        let expected = format!("before\n{BEGIN}new\n{END}\nafter\n");
        assert_eq!(with_table(&document, "new\n"), Ok(expected));
        assert!(with_table("no marks", "new\n").is_err());
    }
}
