use std::thread;

use amq_protocol::types::parsing::parse_field_table;
use proptest::prelude::*;

use super::*;
use crate::{
    reply::ReplyCode,
    types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString},
};

/// An entry with the key `k`.
fn entry(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, b'k', tag];
    bytes.extend_from_slice(value);
    bytes
}

fn prefixed(content: &[u8]) -> Vec<u8> {
    let mut bytes = (content.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes
}

/// A table in a table, `levels` in all.
fn nested_tables(levels: usize) -> Vec<u8> {
    let mut lens = vec![0_usize];
    for level in 1..levels {
        lens.push(lens[level - 1] + 7);
    }
    let mut content = Vec::new();
    for len in lens.iter().rev().skip(1) {
        content.extend_from_slice(&entry(b'F', &(*len as u32).to_be_bytes()));
    }
    content
}

/// A table with an array in an array, `levels` in all.
fn nested_arrays(levels: usize) -> Vec<u8> {
    let mut content = entry(b'A', &((levels - 2) as u32 * 5).to_be_bytes());
    for inner in (0..levels - 2).rev() {
        content.push(b'A');
        content.extend_from_slice(&(inner as u32 * 5).to_be_bytes());
    }
    content
}

fn refusal_of(content: &[u8]) -> String {
    let error = scan_table(content).expect_err("the table is refused");
    assert_eq!(error.code, ReplyCode::SyntaxError);
    error.text
}

#[test]
fn nesting_is_refused_beyond_32_levels_on_a_small_stack() {
    let scan_all = || {
        for levels in (1..=64).chain([100, 1_000, 2_000, 20_000]) {
            let result = scan_table(&nested_tables(levels));
            assert_eq!(result.is_ok(), levels <= TABLE_DEPTH_MAX, "{levels} tables");
        }
        for levels in (2..=64).chain([100, 1_000, 2_000, 20_000]) {
            let result = scan_table(&nested_arrays(levels));
            assert_eq!(result.is_ok(), levels <= TABLE_DEPTH_MAX, "{levels} arrays");
        }
    };
    let thread = thread::Builder::new().stack_size(256 << 10).spawn(scan_all);
    thread.expect("a thread starts").join().expect("the scan does not overflow its stack");
    assert_eq!(refusal_of(&nested_tables(33)), "SYNTAX_ERROR - table nested deeper than 32 levels");
}

#[test]
fn lengths_must_fit_their_table() {
    let cases: [Vec<u8>; 9] = [
        vec![1],
        vec![1, b'k'],
        vec![5, b'k', b'V'],
        entry(b'I', &[0, 0, 0]),
        entry(b'S', &[0, 0, 0]),
        entry(b'S', &[0, 0, 0, 2, b'x']),
        entry(b'F', &[0xFF, 0xFF, 0xFF, 0xFF]),
        entry(b'A', &[0, 0, 0, 2, b'B']),
        // The inner value is longer than its table, but not than the outermost one.
        [entry(b'F', &prefixed(&entry(b'S', &[0, 0, 0, 1]))), entry(b'V', &[])].concat(),
    ];
    for content in cases {
        let text = "SYNTAX_ERROR - table entry is longer than its table";
        assert_eq!(refusal_of(&content), text, "{content:?}");
    }
}

#[test]
fn unknown_tags_are_named() {
    let text = "SYNTAX_ERROR - unknown field tag 'U' (85)";
    assert_eq!(refusal_of(&entry(b'U', &[0, 0])), text);
    assert_eq!(refusal_of(&entry(0xFF, &[])), "SYNTAX_ERROR - unknown field tag 255");
    for tag in (0..=255).filter(|tag| !b"tbBsuIilLfdDSATFVx".contains(tag)) {
        assert!(scan_table(&entry(tag, &[0; 8])).is_err());
    }
}

#[test]
fn entries_are_bounded_for_voids_too() {
    let array = |voids: usize| entry(b'A', &prefixed(&vec![b'V'; voids]));
    assert_eq!(scan_table(&array(TABLE_ENTRIES_MAX - 1)), Ok(()));
    let text = "SYNTAX_ERROR - table has more than 65536 entries";
    assert_eq!(refusal_of(&array(TABLE_ENTRIES_MAX)), text);
    assert!(scan_arguments(&array(ARGUMENT_ENTRIES_MAX - 1)).is_ok());
    assert!(scan_arguments(&array(ARGUMENT_ENTRIES_MAX)).is_err());
}

#[test]
fn keys_are_opaque_in_messages_and_text_in_arguments() {
    let content = [2, 0xC3, 0x28, b'V'];
    assert_eq!(scan_table(&content), Ok(()));
    let error = scan_arguments(&content).expect_err("the key is no text");
    assert_eq!(error.text, "SYNTAX_ERROR - Malformed UTF-8 in table key <<195,40>>");
}

#[test]
fn duplicates_stay_and_the_first_is_found() {
    let content = [entry(b'B', &[1]), entry(b'B', &[2])].concat();
    assert_eq!(TableReader::new(&content).count(), 2);
    assert_eq!(TableReader::new(&content).find(b"k"), Some(Value::U8(1)));
    assert_eq!(TableReader::new(&content).find(b"absent"), None);
}

#[test]
fn each_tag_reads_as_its_type() {
    type Case = (u8, &'static [u8], Value<'static>, &'static str, Option<i64>);
    let cases: [Case; 18] = [
        (b't', &[2], Value::Bool(true), "bool", None),
        (b'b', &[0xFF], Value::I8(-1), "byte", Some(-1)),
        (b'B', &[0xFF], Value::U8(255), "unsignedbyte", Some(255)),
        (b's', &[0xFF, 0xFE], Value::I16(-2), "short", Some(-2)),
        (b'u', &[0xFF, 0xFE], Value::U16(65_534), "unsignedshort", Some(65_534)),
        (b'I', &[0xFF; 4], Value::I32(-1), "signedint", Some(-1)),
        (b'i', &[0xFF; 4], Value::U32(u32::MAX), "unsignedint", Some(4_294_967_295)),
        (b'l', &[0xFF; 8], Value::I64(-1), "long", Some(-1)),
        (b'L', &[0xFF; 8], Value::I64(-1), "long", Some(-1)),
        (b'f', &[0x3F, 0x80, 0, 0], Value::Float(1.0), "float", None),
        (b'd', &[0x3F, 0xF0, 0, 0, 0, 0, 0, 0], Value::Double(1.0), "double", None),
        (b'D', &[2, 0, 0, 0, 5], Value::Decimal { scale: 2, unscaled: 5 }, "decimal", None),
        (b'S', &[0, 0, 0, 1, 9], Value::LongString(&[9]), "longstr", None),
        (b'A', &[0, 0, 0, 1, b'V'], Value::Array(b"V"), "array", None),
        (b'T', &[0, 0, 0, 0, 0, 0, 0, 7], Value::Timestamp(7), "timestamp", None),
        (b'F', &[0, 0, 0, 0], Value::Table(&[]), "table", None),
        (b'V', &[], Value::Void, "void", None),
        (b'x', &[0, 0, 0, 1, 9], Value::ByteArray(&[9]), "binary", None),
    ];
    for (tag, bytes, value, name, integer) in cases {
        let content = entry(tag, bytes);
        assert_eq!(scan_table(&content), Ok(()));
        let mut reader = TableReader::new(&content);
        assert_eq!(reader.next(), Some((&b"k"[..], value)));
        assert_eq!(reader.next(), None);
        assert_eq!((value.type_name(), value.as_integer()), (name, integer));
        let (_, owned) = parse_field_table(&prefixed(&content)[..]).expect("the oracle reads it");
        let owned = owned.inner().values().next().expect("an entry");
        assert_eq!(value_type_name(owned), name);
    }
}

fn value() -> impl Strategy<Value = AMQPValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i8>().prop_map(AMQPValue::ShortShortInt),
        any::<u8>().prop_map(AMQPValue::ShortShortUInt),
        any::<i16>().prop_map(AMQPValue::ShortInt),
        any::<u16>().prop_map(AMQPValue::ShortUInt),
        any::<i32>().prop_map(AMQPValue::LongInt),
        any::<u32>().prop_map(AMQPValue::LongUInt),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        prop::num::f32::NORMAL.prop_map(AMQPValue::Float),
        prop::num::f64::NORMAL.prop_map(AMQPValue::Double),
        (any::<u8>(), any::<u32>())
            .prop_map(|(scale, value)| AMQPValue::DecimalValue(DecimalValue { scale, value })),
        prop::collection::vec(any::<u8>(), 0..20)
            .prop_map(|octets| AMQPValue::LongString(LongString::from(octets))),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        prop::collection::vec(any::<u8>(), 0..20)
            .prop_map(|octets| AMQPValue::ByteArray(ByteArray::from(octets))),
        Just(AMQPValue::Void),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|values| AMQPValue::FieldArray(FieldArray::from(values))),
            prop::collection::btree_map(".{0,9}".prop_map(ShortString::from), inner, 0..6)
                .prop_map(|entries| AMQPValue::FieldTable(FieldTable::from(entries))),
        ]
    })
}

/// Recursive, as tests may be on values of their own making.
fn owned(value: Value<'_>) -> AMQPValue {
    match value {
        Value::Bool(value) => AMQPValue::Boolean(value),
        Value::I8(value) => AMQPValue::ShortShortInt(value),
        Value::U8(value) => AMQPValue::ShortShortUInt(value),
        Value::I16(value) => AMQPValue::ShortInt(value),
        Value::U16(value) => AMQPValue::ShortUInt(value),
        Value::I32(value) => AMQPValue::LongInt(value),
        Value::U32(value) => AMQPValue::LongUInt(value),
        Value::I64(value) => AMQPValue::LongLongInt(value),
        Value::Float(value) => AMQPValue::Float(value),
        Value::Double(value) => AMQPValue::Double(value),
        Value::Decimal { scale, unscaled } => {
            AMQPValue::DecimalValue(DecimalValue { scale, value: unscaled })
        }
        Value::LongString(octets) => AMQPValue::LongString(LongString::from(octets)),
        Value::Array(content) => {
            let values: Vec<_> = ArrayReader::new(content).map(owned).collect();
            AMQPValue::FieldArray(FieldArray::from(values))
        }
        Value::Timestamp(value) => AMQPValue::Timestamp(value),
        Value::Table(content) => AMQPValue::FieldTable(owned_table(content)),
        Value::Void => AMQPValue::Void,
        Value::ByteArray(octets) => AMQPValue::ByteArray(ByteArray::from(octets)),
    }
}

fn owned_table(content: &[u8]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in TableReader::new(content) {
        let key = String::from_utf8(key.to_vec()).expect("the keys are text");
        table.insert(ShortString::from(key), owned(value));
    }
    table
}

proptest! {
    #[test]
    fn tables_of_the_oracle_read_the_same(
        entries in prop::collection::btree_map(".{0,9}".prop_map(ShortString::from), value(), 0..6)
    ) {
        let table = FieldTable::from(entries);
        let content = table_content(&table);
        prop_assert_eq!(scan_arguments(&content), Ok(()));
        prop_assert_eq!(owned_table(&content), table);
    }

    #[test]
    fn what_passes_the_scan_is_read_whole(
        bytes in prop::collection::vec(
            prop_oneof![prop::sample::select(b"tbBsuIilLfdDSATFVx\x00\x01\x05".to_vec()), any::<u8>()],
            0..60,
        )
    ) {
        crate::fuzz::table(&bytes);
        if scan_arguments(&bytes).is_ok() {
            prop_assert!(parse_field_table(&prefixed(&bytes)[..]).is_ok());
        }
    }
}
