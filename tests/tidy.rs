//! The rules of structure that no compiler checks: who may know whom, what deciding code may not
//! name, and that the documents speak of what exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A row of the table of layers: what a package's code may name, and what its tests may besides.
struct Layer {
    package: &'static str,
    may_use: &'static [&'static str],
    tests_may_use: &'static [&'static str],
}

/// Narrow on purpose: a new line here is a decision about the architecture.
const LAYERS: [Layer; 10] = [
    Layer { package: "haremq-protocol", may_use: &["amq-protocol", "bytes"], tests_may_use: &[] },
    Layer {
        package: "haremq-broker",
        may_use: &["haremq-protocol", "ahash", "bytes", "hashbrown", "slab"],
        tests_may_use: &["amq-protocol"],
    },
    Layer { package: "haremq-storage", may_use: &["crc32c"], tests_may_use: &[] },
    Layer {
        package: "haremq-shard",
        may_use: &[
            "haremq-protocol",
            "haremq-broker",
            "haremq-storage",
            "ahash",
            "amq-protocol",
            "bytes",
            "slab",
        ],
        tests_may_use: &[],
    },
    Layer {
        package: "haremq-reactor",
        may_use: &["core_affinity", "glommio", "io-uring", "libc", "slab", "thiserror"],
        tests_may_use: &[],
    },
    Layer {
        package: "haremq-runtime",
        may_use: &[
            "haremq-broker",
            "haremq-shard",
            "haremq-reactor",
            "rtrb",
            "slab",
            "thiserror",
            "tracing",
        ],
        tests_may_use: &["haremq-protocol", "haremq-control", "amq-protocol"],
    },
    Layer {
        package: "haremq-control",
        may_use: &["haremq-shard", "haremq-runtime", "rtrb", "thiserror", "tracing"],
        tests_may_use: &["haremq-protocol", "haremq-broker"],
    },
    Layer {
        package: "haremq-perf",
        may_use: &[
            "haremq-protocol",
            "haremq-reactor",
            "amq-protocol",
            "bytes",
            "clap",
            "crc32fast",
            "hdrhistogram",
            "rtrb",
            "serde",
            "serde_json",
            "signal-hook",
            "thiserror",
            "toml",
        ],
        tests_may_use: &[],
    },
    Layer {
        package: "haremq-sim",
        may_use: &[
            "haremq-protocol",
            "haremq-broker",
            "haremq-storage",
            "haremq-shard",
            "amq-protocol",
            "bytes",
        ],
        tests_may_use: &[],
    },
    Layer {
        package: "haremq",
        may_use: &[
            "haremq-control",
            "haremq-reactor",
            "haremq-runtime",
            "haremq-shard",
            "clap",
            "serde_json",
            "signal-hook",
            "thiserror",
            "tracing",
            "tracing-subscriber",
        ],
        tests_may_use: &["haremq-protocol", "haremq-broker", "amq-protocol", "bytes"],
    },
];

/// What any package's tests and benches may name.
const TEST_TOOLS: [&str; 3] = ["allocation-counter", "criterion", "proptest"];

/// The packages that decide: same input, same output.
const PURE: [&str; 4] = ["src/protocol", "src/broker", "src/storage", "src/shard"];

/// What pure code must not name, and what it does instead.
const IMPURE: [(&str, &str); 21] = [
    ("std::time", "time is an argument"),
    ("Instant::now", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("std::thread", "runtime places shards on threads"),
    ("thread::spawn", "runtime places shards on threads"),
    ("std::fs", "runtime reads and writes files"),
    ("File::open", "runtime reads and writes files"),
    ("File::create", "runtime reads and writes files"),
    ("std::io", "runtime does the I/O"),
    ("std::net", "runtime owns the sockets"),
    ("TcpStream", "runtime owns the sockets"),
    ("TcpListener", "runtime owns the sockets"),
    ("UdpSocket", "runtime owns the sockets"),
    ("std::env", "settings are arguments"),
    ("std::process", "the binary decides when to end"),
    ("println!", "runtime logs"),
    ("hash_map::RandomState", "hash tables take ahash with seeds that are arguments"),
    ("RandomState::new", "hash tables take ahash with seeds that are arguments"),
    ("HashMap::new", "std's own hasher is random: use ahash with seeds that are arguments"),
    ("HashSet::new", "std's own hasher is random: use ahash with seeds that are arguments"),
    ("rand::", "randomness is a seed, and seeds are arguments"),
];

/// Never merged. Parted in two, so that this file does not find itself.
const UNFINISHED: [&str; 6] = [
    concat!("#[ig", "nore"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
];

/// Folders of somebody's own machine.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// The documents whose paths are checked.
const DOCUMENTS: [&str; 4] =
    ["README.md", "CHANGELOG.md", "src/ARCHITECTURE.md", "perf/RESULTS.md"];

/// What lies at the top, besides dotfiles.
const TOP_LEVEL: [&str; 9] = [
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "perf",
    "src",
    "tests",
];
/// Made by tools and by running the broker; never committed.
const MADE: [&str; 5] = ["target", "haremq-data", "node_modules", "__pycache__", "artifacts"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder that are ours, rising by path.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy();
            if name == ".git" {
                // git's own: a folder, or a file in a further work tree.
            } else if path.is_file() {
                found.push(path);
            } else if path.is_dir() && !MADE.contains(&&*name) {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    files(&root().join(folder)).into_iter().filter(is_rust).collect()
}

/// Relative to the top, for messages.
fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", name(path)))
}

/// Fails with all that is wrong, not only with the first.
fn expect_none(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Line numbers and lines of the code itself: no comments, no tests.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or("");
    code.lines().enumerate().map(|(index, line)| (index + 1, line)).map(|(number, line)| {
        let comment = line.find("//").filter(|&at| !line[..at].ends_with(':'));
        (number, &line[..comment.unwrap_or(line.len())])
    })
}

fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let in_tests = path.components().any(|part| part.as_os_str() == "tests");
    stem.ends_with("_tests") || stem == "tests" || in_tests
}

#[test]
fn packages_know_only_what_their_layer_allows() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs, as it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    assert!(packages.len() >= 9, "the workspace has that many members");
    expect_none(packages.iter().flat_map(layer_violations).collect());
}

fn layer_violations(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().expect("packages have names");
    let Some(layer) = LAYERS.iter().find(|layer| layer.package == name) else {
        return vec![format!("{name} has no row in the table of layers of tests/tidy.rs")];
    };
    let dependencies = package["dependencies"].as_array().expect("a list");
    let forbidden = dependencies.iter().filter_map(|dependency| {
        let used = dependency["name"].as_str().expect("dependencies have names");
        let is_for_tests = dependency["kind"] == "dev";
        let may_use = layer.may_use.contains(&used)
            || is_for_tests && (layer.tests_may_use.contains(&used) || TEST_TOOLS.contains(&used));
        let code = if is_for_tests { "tests of " } else { "" };
        (!may_use).then(|| format!("{code}{name} must not know {used} (table in tests/tidy.rs)"))
    });
    forbidden.collect()
}

#[test]
fn deciding_code_cannot_act() {
    let mut violations = Vec::new();
    for path in PURE.into_iter().flat_map(rust_files).filter(|path| !is_test_file(path)) {
        let text = read(&path);
        for (number, line) in code_lines(&text) {
            let banned = IMPURE.iter().find(|(word, _)| has_word(line, word));
            if let Some((word, reason)) = banned {
                violations.push(format!("{}:{number}: {word}: {reason}", name(&path)));
            }
        }
    }
    expect_none(violations);
}

/// The text where no word goes on into it: `rand::` is not in `operand::`.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
    })
}

#[test]
fn deciding_packages_forbid_unsafe_code() {
    let unsure = PURE.into_iter().filter(|folder| {
        !read(&root().join(folder).join("lib.rs")).contains("#![forbid(unsafe_code)]")
    });
    expect_none(unsure.map(|folder| format!("{folder}/lib.rs does not forbid it")).collect());
}

#[test]
fn only_the_reactor_is_unsafe() {
    let words =
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe(", "unsafe trait"];
    let reactor = root().join("src/reactor");
    let is_free = |path: &PathBuf| !path.starts_with(&reactor) && !is_test_file(path);
    let mut violations = Vec::new();
    for path in ["src", "perf"].into_iter().flat_map(rust_files).filter(is_free) {
        let text = read(&path);
        for (number, line) in code_lines(&text) {
            if words.iter().any(|word| has_word(line, word)) {
                violations.push(format!("{}:{number}: unsafe outside of the reactor", name(&path)));
            }
        }
    }
    expect_none(violations);
}

#[test]
fn nothing_unfinished_is_merged() {
    let mut violations = Vec::new();
    for path in ["src", "benches", "perf", "tests"].into_iter().flat_map(rust_files) {
        let text = read(&path);
        for (index, line) in text.lines().enumerate() {
            for word in UNFINISHED.iter().filter(|word| line.contains(*word)) {
                violations.push(format!("{}:{}: {word}", name(&path), index + 1));
            }
        }
    }
    expect_none(violations);
}

#[test]
fn nothing_names_somebodys_machine() {
    let is_text = ["rs", "toml", "md", "py", "js", "sh", "json", "txt", "tsv", "yml"];
    let mut violations = Vec::new();
    for path in files(root()) {
        let extension = path.extension().map(|extension| extension.to_string_lossy());
        if extension.is_some_and(|extension| !is_text.contains(&&*extension)) {
            continue;
        }
        // Corpora and the like are no text.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for word in MACHINE_PATHS.iter().filter(|word| has_word(&text, word)) {
            violations.push(format!("{}: {word}", name(&path)));
        }
    }
    expect_none(violations);
}

#[test]
fn the_top_level_is_small() {
    let mut surplus = Vec::new();
    for entry in fs::read_dir(root()).expect("the folder is there") {
        let name = entry.expect("an entry can be read").file_name().to_string_lossy().into_owned();
        let is_known = TOP_LEVEL.contains(&&*name) || MADE.contains(&&*name);
        if !is_known && !name.starts_with('.') {
            surplus.push(format!("{name} does not belong at the top"));
        }
    }
    expect_none(surplus);
}

#[test]
fn documents_name_only_what_exists() {
    let all = files(root());
    let mut violations = Vec::new();
    for document in DOCUMENTS {
        let path = root().join(document);
        if !path.is_file() {
            violations.push(format!("{document} is missing"));
            continue;
        }
        let text = read(&path);
        let folder = path.parent().expect("a document lies in a folder");
        let missing = named_paths(&text).into_iter().filter(|named| !exists(named, folder, &all));
        violations.extend(missing.map(|named| format!("{document} names {named}")));
    }
    expect_none(violations);
}

/// What a document names in backquotes or links to, outside of blocks of code.
fn named_paths(document: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut is_code = false;
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        let quoted = line.split('`').skip(1).step_by(2).filter(|word| is_path_like(word));
        named.extend(quoted.map(str::to_owned));
        let links = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        named.extend(links.filter(|link| is_local(link)).map(str::to_owned));
    }
    named
}

fn is_local(link: &str) -> bool {
    !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:")
}

/// A repository path begins with one of our folders, or ends as our files do. Placeholders and
/// patterns are none, nor is what lies on somebody's machine.
fn is_path_like(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if word.is_empty() || !word.chars().all(is_plain) || word.starts_with(['/', '-']) {
        return false;
    }
    let ends_as_file = [".rs", ".md", ".toml"].iter().any(|end| word.ends_with(end));
    let first = word.split('/').next().unwrap_or("");
    let begins_as_folder =
        word.contains('/') && ["src", "benches", "perf", "tests", ".ci"].contains(&first);
    ends_as_file && word.len() > 4 || begins_as_folder
}

/// As a path from the top or from the document, or as the end of a file's path: a chapter on one
/// package need not repeat where that lies.
fn exists(named: &str, folder: &Path, all: &[PathBuf]) -> bool {
    let named = named.trim_end_matches('/');
    root().join(named).exists()
        || folder.join(named).exists()
        || all.iter().any(|path| path.ends_with(named))
}

#[test]
fn code_is_told_from_comments_and_tests() {
    let text = "a // Instant::now\nhttp://x\n// std::fs\n\n#[cfg(test)]\nmod tests {\nstd::fs\n}\n";
    let lines: Vec<_> = code_lines(text).map(|(_, line)| line).collect();
    assert_eq!(lines, ["a ", "http://x", ""]);
}

#[test]
fn paths_are_told_from_other_words() {
    let document = "`src/main.rs` [x](perf/RESULTS.md) [y](https://a.b/c.md) `--data-dir x`\n\
                    ```\n`src/absent.rs`\n```\n`basic.publish` `./haremq-data` `tests/`\n";
    let named: Vec<_> = named_paths(document).into_iter().collect();
    assert_eq!(named, ["perf/RESULTS.md", "src/main.rs", "tests/"]);
}

#[test]
fn words_begin_where_they_begin() {
    assert!(has_word("use rand::Rng;", "rand::"));
    assert!(!has_word("operand::Kind", "rand::"));
}
