//! The log of a core as a machine: what is appended, what is being synced, what is synced.
//!
//! It decides when a sync starts and what it covers; someone else moves the bytes. Confirms hang
//! on [`Log::synced`] and on nothing else.

#![forbid(unsafe_code)]

mod log;

pub use log::{Log, Lsn};
