//! Field tables: an iterative check, and a reader over checked content.
//!
//! Content means a table without its own length prefix. Tables of messages stay bytes and are
//! read in place; only arguments of cold methods become `amq-protocol`'s owned tables.

mod scan;
mod value;

pub(crate) use scan::scan_arguments;
pub use scan::{ARGUMENT_ENTRIES_MAX, TABLE_DEPTH_MAX, TABLE_ENTRIES_MAX, scan_table};
pub use value::{ArrayReader, TableReader, Value, value_type_name};

#[cfg(test)]
mod table_tests;
