//! Field tables: an iterative check, and a reader over checked content.
//!
//! Content means a table without its own length prefix. Tables of messages stay bytes and are
//! read in place; only arguments of cold methods become `amq-protocol`'s owned tables.

mod scan;
mod value;

pub(crate) use scan::scan_arguments;
pub use scan::{ARGUMENT_ENTRIES_MAX, TABLE_DEPTH_MAX, TABLE_ENTRIES_MAX, scan_table};
pub use value::{ArrayReader, TableReader, Value, value_type_name};

use amq_protocol::frame::WriteContext;
use amq_protocol::types::FieldTable;
use amq_protocol::types::generation::gen_field_table;

/// Octets of a table's length prefix.
const LENGTH_BYTES: usize = 4;

/// An owned table as content: to keep one that is seldom looked at, as it takes a fraction of the
/// memory.
#[must_use]
pub fn table_content(table: &FieldTable) -> Box<[u8]> {
    let context = WriteContext::from(Vec::new());
    let (octets, _) =
        gen_field_table(table)(context).expect("a growing buffer takes it").into_inner();
    octets[LENGTH_BYTES..].into()
}

#[cfg(test)]
mod table_tests;
