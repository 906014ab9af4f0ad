//! The committed counts.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::toolchain::Toolchain;

#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) toolchain: Toolchain,
    /// Instructions by case, in the order of the cases.
    pub(crate) per_message: Vec<(String, f64)>,
}

impl Counts {
    pub(crate) fn of(&self, case: &str) -> Option<f64> {
        self.per_message.iter().find(|(name, _)| name == case).map(|(_, count)| *count)
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/counts.json")
}

pub(crate) fn read() -> Result<Counts, String> {
    let name = path().display().to_string();
    let text = fs::read_to_string(path()).map_err(|error| format!("{name}: {error}"))?;
    let json: Value = serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    parse(&json).ok_or(format!("{name} is not as --record writes it"))
}

fn parse(json: &Value) -> Option<Counts> {
    let text = |key| json[key].as_str().map(str::to_owned);
    let toolchain = Toolchain { rustc: text("rustc")?, host: text("host")?, libc: text("libc")? };
    let mut per_message = Vec::new();
    for entry in json["instructions_per_message"].as_array()? {
        per_message.push((entry["case"].as_str()?.to_owned(), entry["count"].as_f64()?));
    }
    Some(Counts { toolchain, per_message })
}

/// Counts are kept to a tenth.
pub(crate) fn write(counts: &Counts) -> Result<(), String> {
    let tenth = |count: f64| (count * 10.0).round() / 10.0;
    let entry = |(case, count): &(String, f64)| json!({ "case": case, "count": tenth(*count) });
    let json = json!({
        "rustc": counts.toolchain.rustc,
        "host": counts.toolchain.host,
        "libc": counts.toolchain.libc,
        "instructions_per_message": counts.per_message.iter().map(entry).collect::<Vec<_>>(),
    });
    let text = format!("{json:#}\n");
    fs::write(path(), text).map_err(|error| format!("{}: {error}", path().display()))
}
