//! A client session without I/O, for the load generator, the simulator and integration tests.
//!
//! Bytes in, events and bytes out. The server is not trusted: what it sends wrong becomes an
//! error value, and it cannot make the session hold more than a frame and
//! [`ClientConfig::message_bytes_max`] of unfinished messages.

mod assembly;
mod config;
mod event;
mod session;

pub use config::{ClientConfig, Mechanism};
pub use event::{ClientError, ClientEvent, Message, OwnedClientEvent};
pub use session::ClientSession;

#[cfg(test)]
mod client_tests;
