//! The property list of a content header: checked once, kept verbatim, read in place.

use amq_protocol::{frame::WriteContext, protocol::basic::gen_properties};

use crate::{
    cursor::Cursor,
    reply::{ProtocolError, ReplyCode},
    table::scan_table,
};

pub use amq_protocol::protocol::BasicProperties;

/// Bits of the flag word, in the order of the values (WIRE-20).
mod flag {
    pub(super) const CONTENT_TYPE: u16 = 1 << 15;
    pub(super) const CONTENT_ENCODING: u16 = 1 << 14;
    pub(super) const HEADERS: u16 = 1 << 13;
    pub(super) const DELIVERY_MODE: u16 = 1 << 12;
    pub(super) const PRIORITY: u16 = 1 << 11;
    pub(super) const CORRELATION_ID: u16 = 1 << 10;
    pub(super) const REPLY_TO: u16 = 1 << 9;
    pub(super) const EXPIRATION: u16 = 1 << 8;
    pub(super) const MESSAGE_ID: u16 = 1 << 7;
    pub(super) const TIMESTAMP: u16 = 1 << 6;
    pub(super) const TYPE: u16 = 1 << 5;
    pub(super) const USER_ID: u16 = 1 << 4;
    pub(super) const APP_ID: u16 = 1 << 3;
    pub(super) const CLUSTER_ID: u16 = 1 << 2;
    /// Bit 1 names nothing; bit 0 would announce another flag word.
    pub(super) const RESERVED: u16 = 0b11;
    /// From the highest bit down: the order of the values.
    pub(super) const ALL: [u16; 14] = [
        CONTENT_TYPE,
        CONTENT_ENCODING,
        HEADERS,
        DELIVERY_MODE,
        PRIORITY,
        CORRELATION_ID,
        REPLY_TO,
        EXPIRATION,
        MESSAGE_ID,
        TIMESTAMP,
        TYPE,
        USER_ID,
        APP_ID,
        CLUSTER_ID,
    ];
}

const PERSISTENT: u8 = 2;

const CLASS_BASIC: u16 = 60;
const METHOD_PUBLISH: u16 = 40;

/// A checked property list. Short strings inside are opaque octets (WIRE-13), unknown table
/// content is kept; [`Properties::raw`] is what came in, to the octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties<'a> {
    raw: &'a [u8],
    flags: u16,
    delivery_mode: u8,
    priority: u8,
    headers: Option<&'a [u8]>,
    expiration: Option<&'a [u8]>,
}

impl Properties<'static> {
    /// No property at all.
    pub const EMPTY: Self = Self {
        raw: &[0, 0],
        flags: 0,
        delivery_mode: 0,
        priority: 0,
        headers: None,
        expiration: None,
    };
}

impl<'a> Properties<'a> {
    /// Checks a property list: flag word and values, as a content header carries them.
    ///
    /// # Errors
    /// 502 for a second flag word (WIRE-20), for values that do not end where the list ends, and
    /// for a malformed header table. All name `basic.publish` (ERR-3).
    #[inline]
    pub fn parse(raw: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new(raw);
        let flags = cursor.short().ok_or_else(|| refuse("content has no property flags"))?;
        if flags & flag::RESERVED != 0 {
            return Err(refuse(format!("unknown property flags {flags:#06x}")));
        }
        let mut properties = Self { raw, flags, ..Properties::EMPTY };
        let mut left = flags;
        while left != 0 {
            let bit = 1 << (15 - left.leading_zeros());
            left &= !bit;
            let value = take_value(&mut cursor, bit).ok_or_else(too_short)?;
            properties.note(bit, value);
        }
        if !cursor.is_empty() {
            return Err(refuse("surplus octets behind the properties"));
        }
        if let Some(headers) = properties.headers {
            scan_table(headers).map_err(|error| error.of(CLASS_BASIC, METHOD_PUBLISH))?;
        }
        Ok(properties)
    }

    /// What most publishers send: no property, or only the delivery mode. `None` says nothing
    /// about any other list.
    #[inline]
    pub(crate) fn parse_short(raw: &'a [u8]) -> Option<Self> {
        let (flags, values) = raw.split_first_chunk()?;
        let flags = u16::from_be_bytes(*flags);
        let delivery_mode = match (flags, values) {
            (0, []) => 0,
            (flag::DELIVERY_MODE, &[mode]) => mode,
            _ => return None,
        };
        Some(Self { raw, flags, delivery_mode, ..Properties::EMPTY })
    }

    #[inline]
    fn note(&mut self, bit: u16, value: &'a [u8]) {
        match bit {
            flag::HEADERS => self.headers = Some(value),
            flag::DELIVERY_MODE => self.delivery_mode = value[0],
            flag::PRIORITY => self.priority = value[0],
            flag::EXPIRATION => self.expiration = Some(value),
            _ => (),
        }
    }

    /// Flag word and values, verbatim.
    #[must_use]
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Delivery mode 2, and no other (WIRE-22).
    #[must_use]
    #[inline]
    pub fn is_persistent(&self) -> bool {
        self.delivery_mode == PERSISTENT
    }

    /// Delivery mode as sent.
    #[must_use]
    #[inline]
    pub fn delivery_mode(&self) -> Option<u8> {
        self.has(flag::DELIVERY_MODE).then_some(self.delivery_mode)
    }

    /// Priority as sent; nothing bounds it but the octet.
    #[must_use]
    #[inline]
    pub fn priority(&self) -> Option<u8> {
        self.has(flag::PRIORITY).then_some(self.priority)
    }

    /// Time to live as sent: text, of milliseconds if it is valid.
    #[must_use]
    #[inline]
    pub fn expiration(&self) -> Option<&'a [u8]> {
        self.expiration
    }

    /// Content of the header table, for a [`crate::table::TableReader`].
    #[must_use]
    #[inline]
    pub fn headers(&self) -> Option<&'a [u8]> {
        self.headers
    }

    /// Content type.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.value(flag::CONTENT_TYPE)
    }

    /// Content encoding.
    #[must_use]
    pub fn content_encoding(&self) -> Option<&'a [u8]> {
        self.value(flag::CONTENT_ENCODING)
    }

    /// Correlation id.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&'a [u8]> {
        self.value(flag::CORRELATION_ID)
    }

    /// Address for a reply.
    #[must_use]
    #[inline]
    pub fn reply_to(&self) -> Option<&'a [u8]> {
        self.value(flag::REPLY_TO)
    }

    /// Message id.
    #[must_use]
    pub fn message_id(&self) -> Option<&'a [u8]> {
        self.value(flag::MESSAGE_ID)
    }

    /// Timestamp, seconds since 1970 by custom.
    #[must_use]
    pub fn timestamp(&self) -> Option<u64> {
        let octets = self.value(flag::TIMESTAMP)?.first_chunk();
        Some(u64::from_be_bytes(*octets.expect("a timestamp was checked to have 8 octets")))
    }

    /// Message type.
    #[must_use]
    pub fn message_type(&self) -> Option<&'a [u8]> {
        self.value(flag::TYPE)
    }

    /// User that the publisher claims to be.
    #[must_use]
    #[inline]
    pub fn user_id(&self) -> Option<&'a [u8]> {
        self.value(flag::USER_ID)
    }

    /// Application id.
    #[must_use]
    pub fn app_id(&self) -> Option<&'a [u8]> {
        self.value(flag::APP_ID)
    }

    /// Cluster id.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&'a [u8]> {
        self.value(flag::CLUSTER_ID)
    }

    /// Appends the list with other headers and, for a dead letter, without its expiration; all
    /// other values stay verbatim. `headers` is table content, `None` leaves the property out.
    pub fn write_changed(&self, out: &mut Vec<u8>, headers: Option<&[u8]>, expiration: Expiration) {
        let mut flags = self.flags & !flag::HEADERS;
        if headers.is_some() {
            flags |= flag::HEADERS;
        }
        if expiration == Expiration::Removed {
            flags &= !flag::EXPIRATION;
        }
        out.reserve(self.raw.len() + headers.map_or(0, |content| content.len() + 4));
        out.extend_from_slice(&flags.to_be_bytes());
        let mut cursor = Cursor::new(&self.raw[2..]);
        for bit in flag::ALL {
            let before = cursor.rest;
            if self.has(bit) {
                take_value(&mut cursor, bit).expect("the list was checked");
            }
            match (bit, headers) {
                (flag::HEADERS, Some(content)) => write_table(out, content),
                _ if flags & bit == 0 => (),
                _ => out.extend_from_slice(&before[..before.len() - cursor.rest.len()]),
            }
        }
    }

    #[inline]
    fn has(&self, bit: u16) -> bool {
        self.flags & bit != 0
    }

    #[inline]
    fn value(&self, wanted: u16) -> Option<&'a [u8]> {
        if self.has(wanted) { self.find_value(wanted) } else { None }
    }

    /// Walks to a value that is rarely wanted, so its place is not kept.
    #[inline(never)]
    fn find_value(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut cursor = Cursor::new(&self.raw[2..]);
        for bit in flag::ALL {
            if !self.has(bit) {
                continue;
            }
            let value = take_value(&mut cursor, bit)?;
            if bit == wanted {
                return Some(value);
            }
        }
        None
    }
}

/// What a rewritten property list does with the time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiration {
    /// As it was.
    Kept,
    /// Left out.
    Removed,
}

/// Encodes owned properties, as a client publishes them.
#[must_use]
pub fn encode_properties(properties: &BasicProperties) -> Vec<u8> {
    let context = WriteContext::from(Vec::with_capacity(32));
    gen_properties(properties)(context)
        .expect("writing to a growing buffer does not fail")
        .into_inner()
        .0
}

#[inline]
fn take_value<'a>(cursor: &mut Cursor<'a>, bit: u16) -> Option<&'a [u8]> {
    match bit {
        flag::HEADERS => cursor.long_string(),
        flag::DELIVERY_MODE | flag::PRIORITY => cursor.take(1),
        flag::TIMESTAMP => cursor.take(8),
        _ => cursor.short_string(),
    }
}

fn write_table(out: &mut Vec<u8>, content: &[u8]) {
    let len = u32::try_from(content.len()).expect("a table fits a frame");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(content);
}

#[cold]
fn too_short() -> ProtocolError {
    refuse("properties are longer than their frame")
}

#[cold]
fn refuse(explanation: impl AsRef<str>) -> ProtocolError {
    ProtocolError::new(ReplyCode::SyntaxError, explanation).of(CLASS_BASIC, METHOD_PUBLISH)
}
