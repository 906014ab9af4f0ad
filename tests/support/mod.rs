//! What the tests of AMQP behaviour share: one broker for each file, a client that keeps to the
//! protocol and one that need not, and the short forms of methods.
//!
//! A broker has two cores. Connections are dealt to them in turn and queues go where their names
//! hash to, so [`on_each_core`] runs a scenario until local and distant homes were both met.

#![allow(dead_code, unused_imports, reason = "each file of tests uses its part of this")]

mod broker;
mod client;
mod methods;
mod process;
mod raw;

pub(crate) use broker::{address, assert_memory_stays, pid};
pub(crate) use client::{Client, Delivery, Event, Got, Post, Refusal};
pub(crate) use methods::{IntoMethod, arguments, long, shown, text};
pub(crate) use process::Broker;
pub(crate) use raw::{
    Raw, RawFrame, bytes_of, content_header, frame, method_payload, modest_start_ok, start_ok,
};

use std::time::Duration;

/// Far more than any answer takes on a machine that is busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Runs a scenario for several queue names, each with a new connection that has channel 1 open.
pub(crate) fn on_each_core(name: &str, scenario: impl Fn(&mut Client, &str)) {
    for round in 0..6 {
        scenario(&mut Client::connect(), &format!("{name}-{round}"));
    }
}

/// The same for scenarios that wait for time to pass: all rounds at once.
pub(crate) fn at_once_on_each_core(name: &str, scenario: impl Fn(&mut Client, &str) + Sync) {
    std::thread::scope(|scope| {
        for round in 0..6 {
            let scenario = &scenario;
            scope.spawn(move || scenario(&mut Client::connect(), &format!("{name}-{round}")));
        }
    });
}
