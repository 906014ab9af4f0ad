//! A whole broker in one thread, under a virtual clock: real shards, a real catalog writer, and
//! between them a mesh, sockets and clients whose every step a seed decides. What the clients see
//! is held against a model, after every step and once everything has come to rest.

#![forbid(unsafe_code)]

mod channel;
mod client;
mod corruption;
mod model;
mod parameters;
mod prng;
mod rest;
mod simulation;
mod trace;
mod workload;
mod world;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use corruption::Corruption;
pub use parameters::{Parameters, Scenario};
use simulation::Simulation;
pub use trace::dump as dump_trace;

/// How a seed is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Which worlds are drawn.
    pub scenario: Scenario,
    /// The bug that is planted at the seam.
    pub corruption: Corruption,
    /// Print every step as it happens.
    pub is_verbose: bool,
}

/// What a run that found nothing wrong has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Hash of all steps, events and effects.
    pub hash: u64,
    /// Steps taken.
    pub steps: u64,
    /// Messages published.
    pub published: usize,
    /// Deliveries received by clients.
    pub delivered: u64,
    /// Channels opened.
    pub channels: usize,
}

/// A run in which something promised did not hold.
#[derive(Debug)]
pub struct Failure {
    /// The seed that shows it again.
    pub seed: u64,
    /// The world drawn from it.
    pub parameters: Parameters,
    /// What did not hold.
    pub reason: String,
    /// The last steps before.
    pub events: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            writeln!(f, "  {event}")?;
        }
        writeln!(f, "{:?}", self.parameters)?;
        write!(f, "seed {} failed: {}", self.seed, self.reason)
    }
}

/// Runs one seed from an empty broker to rest.
///
/// # Errors
/// Something that must hold did not, or the broker panicked (where panics unwind).
pub fn run(seed: u64, options: Options) -> Result<Summary, Box<Failure>> {
    trace::reset(options.is_verbose);
    let parameters = Parameters::draw(seed, options.scenario);
    let world_parameters = parameters.clone();
    let outcome = catch_unwind(AssertUnwindSafe(move || {
        Simulation::new(seed, world_parameters, options.corruption).run()
    }));
    let reason = match outcome {
        Ok(Ok(summary)) => return Ok(summary),
        Ok(Err(reason)) => reason,
        Err(panic) => format!("panic: {}", panic_text(&*panic)),
    };
    Err(Box::new(Failure { seed, parameters, reason, events: trace::dump() }))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod sim_tests;
