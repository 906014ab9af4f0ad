//! Tables as parts of an identity (BND-1): a table is the set of its entries, and a value is its
//! type and its octets. So a float that is not a number equals itself here, and a binding that has
//! one can be removed again.

use std::hash::{Hash, Hasher};

use haremq_protocol::types::{AMQPValue, FieldTable};

/// Do both have the same entries, in whatever order they came?
pub(super) fn is_same_table(one: &FieldTable, other: &FieldTable) -> bool {
    let (one, other) = (one.inner(), other.inner());
    one.len() == other.len()
        && one.iter().zip(other).all(|((a, x), (b, y))| a == b && is_same_value(x, y))
}

/// Are both of the same type and value?
pub(super) fn is_same_value(one: &AMQPValue, other: &AMQPValue) -> bool {
    match (one, other) {
        (AMQPValue::Float(a), AMQPValue::Float(b)) => a.to_bits() == b.to_bits(),
        (AMQPValue::Double(a), AMQPValue::Double(b)) => a.to_bits() == b.to_bits(),
        (AMQPValue::FieldTable(a), AMQPValue::FieldTable(b)) => is_same_table(a, b),
        (AMQPValue::FieldArray(a), AMQPValue::FieldArray(b)) => {
            let (a, b) = (a.as_slice(), b.as_slice());
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| is_same_value(x, y))
        }
        _ => one == other,
    }
}

/// The number, if the value is of one of the eight integer types (QUE-33).
pub(crate) fn integer_of(value: &AMQPValue) -> Option<i64> {
    match *value {
        AMQPValue::ShortShortInt(value) => Some(i64::from(value)),
        AMQPValue::ShortShortUInt(value) => Some(i64::from(value)),
        AMQPValue::ShortInt(value) => Some(i64::from(value)),
        AMQPValue::ShortUInt(value) => Some(i64::from(value)),
        AMQPValue::LongInt(value) => Some(i64::from(value)),
        AMQPValue::LongUInt(value) => Some(i64::from(value)),
        AMQPValue::LongLongInt(value) => Some(value),
        _ => None,
    }
}

/// Feeds a table to a hasher so that equal tables give equal hashes.
pub(super) fn hash_table(table: &FieldTable, hasher: &mut impl Hasher) {
    hasher.write_usize(table.inner().len());
    for (key, value) in table.inner() {
        key.as_str().hash(hasher);
        hash_value(value, hasher);
    }
}

/// Depth is bounded by the scanner that every table passed.
fn hash_value(value: &AMQPValue, hasher: &mut impl Hasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        AMQPValue::Boolean(value) => value.hash(hasher),
        AMQPValue::ShortShortInt(value) => value.hash(hasher),
        AMQPValue::ShortShortUInt(value) => value.hash(hasher),
        AMQPValue::ShortInt(value) => value.hash(hasher),
        AMQPValue::ShortUInt(value) => value.hash(hasher),
        AMQPValue::LongInt(value) => value.hash(hasher),
        AMQPValue::LongUInt(value) => value.hash(hasher),
        AMQPValue::LongLongInt(value) => value.hash(hasher),
        AMQPValue::Float(value) => value.to_bits().hash(hasher),
        AMQPValue::Double(value) => value.to_bits().hash(hasher),
        AMQPValue::DecimalValue(value) => (value.scale, value.value).hash(hasher),
        AMQPValue::ShortString(value) => value.as_str().hash(hasher),
        AMQPValue::LongString(value) => value.as_bytes().hash(hasher),
        AMQPValue::ByteArray(value) => value.as_slice().hash(hasher),
        AMQPValue::Timestamp(value) => value.hash(hasher),
        AMQPValue::FieldTable(value) => hash_table(value, hasher),
        AMQPValue::FieldArray(value) => {
            hasher.write_usize(value.as_slice().len());
            value.as_slice().iter().for_each(|value| hash_value(value, hasher));
        }
        AMQPValue::Void => {}
    }
}
