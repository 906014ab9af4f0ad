//! Runs cases under callgrind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;

/// In the first rounds tables and buffers grow, which is over in the rounds between.
const FEW_ROUNDS: u32 = 8;
const MANY_ROUNDS: u32 = 32;

/// The program that is counted.
pub(crate) struct Rounds {
    program: PathBuf,
}

pub(crate) struct Case {
    pub(crate) name: String,
    /// In a round.
    messages: u32,
}

impl Rounds {
    /// As it ships.
    pub(crate) fn build() -> Result<Rounds, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let built = Command::new(cargo)
            .args(["build", "--release", "--locked", "--example", "rounds"])
            .args(["--message-format", "json-render-diagnostics", "--manifest-path", manifest])
            .stderr(std::process::Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run cargo: {error}"))?;
        if !built.status.success() {
            return Err("what is to be counted cannot be built".to_owned());
        }
        let program = String::from_utf8_lossy(&built.stdout).lines().find_map(program_of);
        Ok(Rounds { program: program.ok_or("cargo does not say where it put `rounds`")? })
    }

    pub(crate) fn cases(&self) -> Result<Vec<Case>, String> {
        let listed = Command::new(&self.program)
            .arg("--list")
            .output()
            .map_err(|error| format!("cannot run {}: {error}", self.program.display()))?;
        let case = |line: &str| {
            let (messages, name) = line.split_once(' ')?;
            Some(Case { name: name.to_owned(), messages: messages.parse().ok()? })
        };
        let cases: Option<Vec<Case>> =
            String::from_utf8_lossy(&listed.stdout).lines().map(case).collect();
        cases.filter(|cases| !cases.is_empty()).ok_or("`rounds --list` lists no cases".to_owned())
    }

    /// Where callgrind's files stay, so that one can look where the instructions go.
    pub(crate) fn folder(&self) -> PathBuf {
        let target = self.program.ancestors().nth(3);
        target.expect("examples lie in target/release/examples").join("instructions")
    }

    /// What a message costs when all is warm.
    pub(crate) fn instructions_per_message(&self, case: &Case) -> Result<f64, String> {
        let folder = self.folder();
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let file = |rounds| folder.join(format!("{}.{rounds}.out", file_name(&case.name)));
        let (few, many) = thread::scope(|scope| {
            let few = scope.spawn(|| self.instructions(case, FEW_ROUNDS, &file("few")));
            let many = self.instructions(case, MANY_ROUNDS, &file("many"));
            (few.join().expect("counting does not panic"), many)
        });
        let between = f64::from(MANY_ROUNDS - FEW_ROUNDS) * f64::from(case.messages);
        Ok((many? - few?) / between)
    }

    fn instructions(&self, case: &Case, rounds: u32, file: &Path) -> Result<f64, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(&self.program)
            .args([&case.name, &rounds.to_string()])
            // No setting of libc or of the loader shall change what is counted.
            .env_clear()
            .env("PATH", path)
            .output()
            .map_err(|error| format!("cannot run valgrind: {error}; is it installed?"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{} under valgrind: {}\n{errors}", case.name, output.status));
        }
        let text = fs::read_to_string(file);
        let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
        let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
        let totals = totals.and_then(|totals| totals.trim().parse().ok());
        totals.ok_or_else(|| format!("{} has no line of totals", file.display()))
    }
}

/// The program that a line of cargo's tells of.
fn program_of(line: &str) -> Option<PathBuf> {
    let told: Value = serde_json::from_str(line).ok()?;
    let is_ours = told["target"]["name"] == "rounds";
    told["executable"].as_str().filter(|_| is_ours).map(PathBuf::from)
}

fn file_name(case: &str) -> String {
    let words = case.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}
