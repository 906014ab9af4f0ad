//! Named loads: TOML files of `run` flags, built in or the user's own.

use std::fs;

use serde::Deserialize;

/// The files of `perf/scenarios`, by name.
const BUILT_IN: &[(&str, &str)] = &[
    ("backlog-drain", include_str!("scenarios/backlog-drain.toml")),
    ("backlog-fill", include_str!("scenarios/backlog-fill.toml")),
    ("binding-churn", include_str!("scenarios/binding-churn.toml")),
    ("channel-churn", include_str!("scenarios/channel-churn.toml")),
    ("confirm-window", include_str!("scenarios/confirm-window.toml")),
    ("connection-churn", include_str!("scenarios/connection-churn.toml")),
    ("consumer-churn", include_str!("scenarios/consumer-churn.toml")),
    ("fan-in", include_str!("scenarios/fan-in.toml")),
    ("fan-out", include_str!("scenarios/fan-out.toml")),
    ("headers", include_str!("scenarios/headers.toml")),
    ("idle-connections", include_str!("scenarios/idle-connections.toml")),
    ("large-messages", include_str!("scenarios/large-messages.toml")),
    ("latency-at-rate", include_str!("scenarios/latency-at-rate.toml")),
    ("many-queues", include_str!("scenarios/many-queues.toml")),
    ("queue-churn", include_str!("scenarios/queue-churn.toml")),
    ("rate-sweep", include_str!("scenarios/rate-sweep.toml")),
    ("requeue-storm", include_str!("scenarios/requeue-storm.toml")),
    ("rpc", include_str!("scenarios/rpc.toml")),
    ("rpc-direct", include_str!("scenarios/rpc-direct.toml")),
    ("slow-consumer", include_str!("scenarios/slow-consumer.toml")),
    ("throughput", include_str!("scenarios/throughput.toml")),
    ("topic-storm", include_str!("scenarios/topic-storm.toml")),
    ("work-queue", include_str!("scenarios/work-queue.toml")),
];

const FLAG: &str = "--scenario";

/// A scenario's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// What it shows, in a line.
    about: String,
    /// Long flags of `run` and their values; `true` for a flag without one, a list to repeat it.
    flags: toml::Table,
}

/// Puts the flags of a `--scenario` before the others, so that those win.
///
/// # Errors
/// What is wrong with the scenario, for the user.
pub(crate) fn expand(flags: Vec<String>) -> Result<Vec<String>, String> {
    let Some(at) = flags.iter().position(|flag| flag == FLAG || flag.starts_with("--scenario="))
    else {
        return Ok(flags);
    };
    let name = match flags[at].split_once('=') {
        Some((_, name)) => name.to_owned(),
        None => flags.get(at + 1).cloned().ok_or("--scenario needs a name or a file")?,
    };
    let scenario = load(&name)?;
    let mut expanded = Vec::new();
    for (flag, value) in &scenario.flags {
        if !is_given(&flags, flag) {
            push_flag(&mut expanded, &name, flag, value)?;
        }
    }
    expanded.extend(flags);
    Ok(expanded)
}

fn is_given(flags: &[String], name: &str) -> bool {
    let (exact, with_value) = (format!("--{name}"), format!("--{name}="));
    flags.iter().any(|flag| *flag == exact || flag.starts_with(&with_value))
}

fn push_flag(
    flags: &mut Vec<String>,
    scenario: &str,
    name: &str,
    value: &toml::Value,
) -> Result<(), String> {
    let text = match value {
        toml::Value::Boolean(true) => format!("--{name}"),
        toml::Value::Boolean(false) => format!("--{name}=false"),
        toml::Value::String(text) => format!("--{name}={text}"),
        toml::Value::Integer(number) => format!("--{name}={number}"),
        toml::Value::Float(number) => format!("--{name}={number}"),
        toml::Value::Array(values) => {
            return values.iter().try_for_each(|value| push_flag(flags, scenario, name, value));
        }
        other => return Err(format!("{scenario}: {name} cannot be {}", other.type_str())),
    };
    flags.push(text);
    Ok(())
}

fn load(name: &str) -> Result<Scenario, String> {
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    let text = match built_in {
        Some((_, text)) => (*text).to_owned(),
        None if name.ends_with(".toml") => {
            fs::read_to_string(name).map_err(|error| format!("{name}: {error}"))?
        }
        None => {
            let nearest = BUILT_IN
                .iter()
                .min_by_key(|(known, _)| crate::flag_names::distance(known, name))
                .map_or("", |(known, _)| known);
            return Err(format!(
                "there is no scenario {name:?}; the nearest is {nearest:?} (see haremq-perf \
                 scenarios; a file's name ends in .toml)"
            ));
        }
    };
    toml::from_str(&text).map_err(|error| format!("{name}: {error}"))
}

/// Names and what they show.
pub(crate) fn list() -> String {
    let lines = BUILT_IN.iter().map(|(name, _)| {
        let about = load(name).map(|scenario| scenario.about).unwrap_or_default();
        format!("{name:<18} {about}\n")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::options::RunCommand;
    use crate::plan::Plan;

    #[test]
    fn every_scenario_plans() {
        for (name, _) in BUILT_IN {
            let flags = expand(vec![format!("--scenario={name}")]).expect("it is sound");
            let arguments = std::iter::once("run".to_owned()).chain(flags);
            let parsed = RunCommand::try_parse_from(arguments).unwrap_or_else(|error| {
                panic!("{name}: {error}");
            });
            if let Err(error) = Plan::new(&parsed.options) {
                panic!("{name}: {error}");
            }
        }
    }

    #[test]
    fn flags_win_over_the_scenario() {
        let flags = vec!["--scenario".to_owned(), "throughput".to_owned(), "--size=99".to_owned()];
        let expanded = expand(flags).expect("it is sound");
        let sizes: Vec<&String> =
            expanded.iter().filter(|flag| flag.starts_with("--size")).collect();
        assert_eq!(sizes, ["--size=99"]);
    }

    #[test]
    fn an_unknown_scenario_names_its_nearest() {
        let error = expand(vec!["--scenario=fanout".to_owned()]).expect_err("it is unknown");
        assert!(error.contains("\"fan-out\""), "{error}");
    }
}
