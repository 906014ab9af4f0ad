//! Values of checked tables, read in place.

use crate::{cursor::Cursor, types::AMQPValue};

/// A value of a field table, borrowed (WIRE-10).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`, an integer here and not the specification's short string (WIRE-11).
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l` and `L`
    I64(i64),
    /// `f`
    Float(f32),
    /// `d`
    Double(f64),
    /// `D`: `unscaled` / 10^`scale`.
    Decimal {
        /// Decimal places.
        scale: u8,
        /// Digits.
        unscaled: u32,
    },
    /// `S`
    LongString(&'a [u8]),
    /// `A`, content for an [`ArrayReader`].
    Array(&'a [u8]),
    /// `T`, seconds since 1970.
    Timestamp(u64),
    /// `F`, content for a [`TableReader`].
    Table(&'a [u8]),
    /// `V`
    Void,
    /// `x`
    ByteArray(&'a [u8]),
}

impl<'a> Value<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        Some(match cursor.octet()? {
            b't' => Self::Bool(cursor.octet()? != 0),
            b'b' => Self::I8(cursor.octet()?.cast_signed()),
            b'B' => Self::U8(cursor.octet()?),
            b's' => Self::I16(cursor.short()?.cast_signed()),
            b'u' => Self::U16(cursor.short()?),
            b'I' => Self::I32(cursor.long()?.cast_signed()),
            b'i' => Self::U32(cursor.long()?),
            b'l' | b'L' => Self::I64(cursor.long_long()?.cast_signed()),
            b'f' => Self::Float(f32::from_bits(cursor.long()?)),
            b'd' => Self::Double(f64::from_bits(cursor.long_long()?)),
            b'D' => Self::Decimal { scale: cursor.octet()?, unscaled: cursor.long()? },
            b'S' => Self::LongString(cursor.long_string()?),
            b'A' => Self::Array(cursor.long_string()?),
            b'T' => Self::Timestamp(cursor.long_long()?),
            b'F' => Self::Table(cursor.long_string()?),
            b'V' => Self::Void,
            b'x' => Self::ByteArray(cursor.long_string()?),
            _ => return None,
        })
    }

    /// The type's name in reply texts (WIRE-10).
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::I8(_) => "byte",
            Self::U8(_) => "unsignedbyte",
            Self::I16(_) => "short",
            Self::U16(_) => "unsignedshort",
            Self::I32(_) => "signedint",
            Self::U32(_) => "unsignedint",
            Self::I64(_) => "long",
            Self::Float(_) => "float",
            Self::Double(_) => "double",
            Self::Decimal { .. } => "decimal",
            Self::LongString(_) => "longstr",
            Self::Array(_) => "array",
            Self::Timestamp(_) => "timestamp",
            Self::Table(_) => "table",
            Self::Void => "void",
            Self::ByteArray(_) => "binary",
        }
    }

    /// The number, if the type is one of the eight integer types. A timestamp is not.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Self::I8(number) => Some(i64::from(number)),
            Self::U8(number) => Some(i64::from(number)),
            Self::I16(number) => Some(i64::from(number)),
            Self::U16(number) => Some(i64::from(number)),
            Self::I32(number) => Some(i64::from(number)),
            Self::U32(number) => Some(i64::from(number)),
            Self::I64(number) => Some(number),
            _ => None,
        }
    }

    /// The octets of a long string or a byte array.
    #[must_use]
    pub fn as_octets(&self) -> Option<&'a [u8]> {
        match *self {
            Self::LongString(octets) | Self::ByteArray(octets) => Some(octets),
            _ => None,
        }
    }
}

/// Entries of a table in wire order, duplicates included.
///
/// The content has passed [`super::scan_table`]; reading unchecked content is harmless but ends
/// silently at the first entry that is malformed.
#[derive(Clone, Copy, Debug)]
pub struct TableReader<'a> {
    cursor: Cursor<'a>,
}

impl<'a> TableReader<'a> {
    /// Reads table content, without its length prefix.
    #[must_use]
    pub fn new(content: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(content) }
    }

    /// The first value with this key, as RabbitMQ takes it from a table with duplicates.
    #[must_use]
    pub fn find(mut self, key: &[u8]) -> Option<Value<'a>> {
        Iterator::find(&mut self, |(name, _)| *name == key).map(|(_, value)| value)
    }
}

impl<'a> Iterator for TableReader<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.cursor.short_string()?;
        Some((key, Value::read(&mut self.cursor)?))
    }
}

/// Values of an array in wire order; the same holds as for [`TableReader`].
#[derive(Clone, Copy, Debug)]
pub struct ArrayReader<'a> {
    cursor: Cursor<'a>,
}

impl<'a> ArrayReader<'a> {
    /// Reads array content, without its length prefix.
    #[must_use]
    pub fn new(content: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(content) }
    }
}

impl<'a> Iterator for ArrayReader<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        Value::read(&mut self.cursor)
    }
}

/// The name of an owned value's type in reply texts (WIRE-10).
#[must_use]
pub const fn value_type_name(value: &AMQPValue) -> &'static str {
    match value {
        AMQPValue::Boolean(_) => "bool",
        AMQPValue::ShortShortInt(_) => "byte",
        AMQPValue::ShortShortUInt(_) => "unsignedbyte",
        AMQPValue::ShortInt(_) => "short",
        AMQPValue::ShortUInt(_) => "unsignedshort",
        AMQPValue::LongInt(_) => "signedint",
        AMQPValue::LongUInt(_) => "unsignedint",
        AMQPValue::LongLongInt(_) => "long",
        AMQPValue::Float(_) => "float",
        AMQPValue::Double(_) => "double",
        AMQPValue::DecimalValue(_) => "decimal",
        // Short strings are never values on the wire.
        AMQPValue::ShortString(_) | AMQPValue::LongString(_) => "longstr",
        AMQPValue::FieldArray(_) => "array",
        AMQPValue::Timestamp(_) => "timestamp",
        AMQPValue::FieldTable(_) => "table",
        AMQPValue::Void => "void",
        AMQPValue::ByteArray(_) => "binary",
    }
}
