//! AMQP 0-9-1 on bytes, and nothing else: frames, methods, content, tables, reply codes, SASL
//! responses and a client session.
//!
//! Nothing here knows a queue, a clock or a socket. Bytes from a peer become borrowed values or a
//! [`reply::ProtocolError`]; they never panic, never recurse and never make the decoder reserve
//! memory that the peer only announced.
//!
//! The hot methods (`basic.publish`, `deliver`, `return`, `get-ok`, `ack`, `nack`, `reject`) and
//! the content are decoded in place. Everything else goes through `amq-protocol`, behind a check
//! of every length and of every table ([`table::scan_table`]), because its parser recurses.

#![forbid(unsafe_code)]

pub mod ack;
pub mod blank;
pub mod client;
pub mod content;
mod cursor;
pub mod deliver;
pub mod frame;
pub mod fuzz;
mod layout;
pub mod method;
mod octets;
pub mod properties;
pub mod publish;
pub mod refusal;
pub mod reply;
pub mod sasl;
pub mod table;
pub mod types;
