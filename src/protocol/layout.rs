//! The fields of every cold method, and a check of a payload against them.
//!
//! The check gives each malformed payload its own refusal and leaves nothing for the recursive
//! parser of `amq-protocol` to refuse, or to overflow on.

use crate::{cursor::Cursor, refusal, reply::ProtocolError, table::scan_arguments};

/// Who may send a method (WIRE-30).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
    Both,
}

/// A field on the wire. Consecutive bits share octets, so they are one field here (WIRE-33).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Octet,
    Short,
    Long,
    Bits,
    ShortString,
    LongString,
    Table,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) sender: Sender,
    fields: &'static [Field],
}

impl Layout {
    /// The layout of a cold method; `None` for hot and for unknown ones.
    pub(crate) fn of(class_id: u16, method_id: u16) -> Option<Self> {
        match class_id {
            10 => connection(method_id),
            20 => channel(method_id),
            30 => access(method_id),
            40 => exchange(method_id),
            50 => queue(method_id),
            60 => basic(method_id),
            85 => confirm(method_id),
            90 => tx(method_id),
            _ => None,
        }
    }

    /// Checks a whole method payload: each field is there, short strings and argument keys are
    /// UTF-8, tables are sound, nothing is left over.
    ///
    /// # Errors
    /// ERR-25 and ERR-33; for what is inside a table the error of the table.
    pub(crate) fn check(self, payload: &[u8]) -> Result<(), ProtocolError> {
        let mut cursor = Cursor::new(&payload[4..]);
        for field in self.fields {
            check_field(*field, &mut cursor, payload)?;
        }
        if cursor.is_empty() { Ok(()) } else { Err(refusal::cannot_decode(payload)) }
    }
}

fn check_field(field: Field, cursor: &mut Cursor<'_>, payload: &[u8]) -> Result<(), ProtocolError> {
    let read = match field {
        Field::Octet | Field::Bits => cursor.take(1),
        Field::Short => cursor.take(2),
        Field::Long => cursor.take(4),
        Field::ShortString => cursor.short_string(),
        Field::LongString | Field::Table => cursor.long_string(),
    };
    let octets = read.ok_or_else(|| refusal::cannot_decode(payload))?;
    match field {
        Field::ShortString if std::str::from_utf8(octets).is_err() => {
            Err(refusal::malformed_utf8(payload, octets))
        }
        Field::Table => scan_arguments(octets).map_err(|error| of_payload(error, payload)),
        _ => Ok(()),
    }
}

#[cold]
fn of_payload(error: ProtocolError, payload: &[u8]) -> ProtocolError {
    let (class_id, method_id) = crate::method::method_ids(payload).unwrap_or((0, 0));
    error.of(class_id, method_id)
}

use Field::{Bits, Long, LongString, Octet, Short, ShortString, Table};
use Sender::{Both, Client, Server};

const CLOSE: &[Field] = &[Short, ShortString, Short, Short];

const fn layout(sender: Sender, fields: &'static [Field]) -> Option<Layout> {
    Some(Layout { sender, fields })
}

const fn connection(method_id: u16) -> Option<Layout> {
    match method_id {
        10 => layout(Server, &[Octet, Octet, Table, LongString, LongString]),
        11 => layout(Client, &[Table, ShortString, LongString, ShortString]),
        20 => layout(Server, &[LongString]),
        21 => layout(Client, &[LongString]),
        30 => layout(Server, &[Short, Long, Short]),
        31 => layout(Client, &[Short, Long, Short]),
        40 => layout(Client, &[ShortString, ShortString, Bits]),
        41 => layout(Server, &[ShortString]),
        50 => layout(Both, CLOSE),
        51 => layout(Both, &[]),
        60 => layout(Server, &[ShortString]),
        61 => layout(Server, &[]),
        70 => layout(Client, &[LongString, ShortString]),
        71 => layout(Server, &[]),
        _ => None,
    }
}

const fn channel(method_id: u16) -> Option<Layout> {
    match method_id {
        10 => layout(Client, &[ShortString]),
        11 => layout(Server, &[LongString]),
        20 | 21 => layout(Both, &[Bits]),
        40 => layout(Both, CLOSE),
        41 => layout(Both, &[]),
        _ => None,
    }
}

const fn access(method_id: u16) -> Option<Layout> {
    match method_id {
        10 => layout(Client, &[ShortString, Bits]),
        11 => layout(Server, &[Short]),
        _ => None,
    }
}

const fn exchange(method_id: u16) -> Option<Layout> {
    match method_id {
        10 => layout(Client, &[Short, ShortString, ShortString, Bits, Table]),
        20 => layout(Client, &[Short, ShortString, Bits]),
        30 | 40 => layout(Client, &[Short, ShortString, ShortString, ShortString, Bits, Table]),
        // 51 and not 41 is unbind-ok (WIRE-31).
        11 | 21 | 31 | 51 => layout(Server, &[]),
        _ => None,
    }
}

const fn queue(method_id: u16) -> Option<Layout> {
    match method_id {
        10 => layout(Client, &[Short, ShortString, Bits, Table]),
        11 => layout(Server, &[ShortString, Long, Long]),
        20 => layout(Client, &[Short, ShortString, ShortString, ShortString, Bits, Table]),
        30 | 40 => layout(Client, &[Short, ShortString, Bits]),
        31 | 41 => layout(Server, &[Long]),
        50 => layout(Client, &[Short, ShortString, ShortString, ShortString, Table]),
        21 | 51 => layout(Server, &[]),
        _ => None,
    }
}

const fn basic(method_id: u16) -> Option<Layout> {
    match method_id {
        10 => layout(Client, &[Long, Short, Bits]),
        11 | 111 => layout(Server, &[]),
        20 => layout(Client, &[Short, ShortString, ShortString, Bits, Table]),
        21 => layout(Server, &[ShortString]),
        30 => layout(Both, &[ShortString, Bits]),
        31 => layout(Both, &[ShortString]),
        70 => layout(Client, &[Short, ShortString, Bits]),
        72 => layout(Server, &[ShortString]),
        100 | 110 => layout(Client, &[Bits]),
        _ => None,
    }
}

const fn confirm(method_id: u16) -> Option<Layout> {
    match method_id {
        10 => layout(Client, &[Bits]),
        11 => layout(Server, &[]),
        _ => None,
    }
}

const fn tx(method_id: u16) -> Option<Layout> {
    match method_id {
        10 | 20 | 30 => layout(Client, &[]),
        11 | 21 | 31 => layout(Server, &[]),
        _ => None,
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
