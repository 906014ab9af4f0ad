use ahash::RandomState;
use haremq_protocol::types::{AMQPValue, FieldTable};
use proptest::prelude::*;

use super::Found;
use super::headers::{Headers, HeadersScratch, Pattern, PatternRefusal};
use super::targets::{End, Place, Target};
use crate::ids::{QueueId, SlotId};

/// Entries in the order of the wire.
pub(crate) type Entries = Vec<(&'static str, AMQPValue)>;

fn headers() -> Headers {
    Headers::new(&RandomState::with_seeds(1, 2, 3, 4))
}

fn target(binding: u32) -> Target {
    Target { end: End::Queue(QueueId(u64::from(binding)), SlotId(0)), binding }
}

fn string(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table(entries: &Entries) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

/// The octets of a message's header table.
pub(crate) fn encode(entries: &Entries) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in entries {
        out.push(u8::try_from(key.len()).expect("test keys are short"));
        out.extend_from_slice(key.as_bytes());
        encode_value(&mut out, value);
    }
    out
}

fn encode_value(out: &mut Vec<u8>, value: &AMQPValue) {
    let mut put = |tag: u8, octets: &[u8]| {
        out.push(tag);
        out.extend_from_slice(octets);
    };
    let with_length = |octets: &[u8]| {
        let length = u32::try_from(octets.len()).expect("test values are short");
        [&length.to_be_bytes(), octets].concat()
    };
    match value {
        AMQPValue::Boolean(value) => put(b't', &[u8::from(*value)]),
        AMQPValue::ShortShortInt(value) => put(b'b', &value.to_be_bytes()),
        AMQPValue::ShortShortUInt(value) => put(b'B', &value.to_be_bytes()),
        AMQPValue::LongInt(value) => put(b'I', &value.to_be_bytes()),
        AMQPValue::LongLongInt(value) => put(b'l', &value.to_be_bytes()),
        AMQPValue::Float(value) => put(b'f', &value.to_be_bytes()),
        AMQPValue::Double(value) => put(b'd', &value.to_be_bytes()),
        AMQPValue::Timestamp(value) => put(b'T', &value.to_be_bytes()),
        AMQPValue::LongString(value) => put(b'S', &with_length(value.as_bytes())),
        AMQPValue::ByteArray(value) => put(b'x', &with_length(value.as_slice())),
        AMQPValue::Void => put(b'V', &[]),
        other => panic!("the tests have no {other:?}"),
    }
}

fn matching(headers: &Headers, message: Option<&Entries>) -> Vec<u64> {
    let mut found = Found::default();
    let content = message.map(encode);
    headers.collect(content.as_deref(), &mut HeadersScratch::default(), &mut found);
    let mut queues: Vec<u64> = found.queues.iter().map(|(queue, _)| queue.0).collect();
    queues.sort_unstable();
    // In mode `any` a pattern is found once for each header that matches.
    queues.dedup();
    queues
}

fn is_match(pattern: &Entries, message: Option<&Entries>) -> bool {
    let mut headers = headers();
    headers.insert(&table(pattern), target(3));
    matching(&headers, message) == [3]
}

#[test]
fn modes_match_as_the_rules_say() {
    let check = |pattern: Entries, message: Entries, expected: bool| {
        assert_eq!(is_match(&pattern, Some(&message)), expected, "{pattern:?} and {message:?}");
    };
    let one = || AMQPValue::LongInt(1);
    let two = || AMQPValue::LongInt(2);
    let mode = |name: &str| ("x-match", string(name));
    // HDR-1: all is the default. HDR-6: more headers do no harm.
    check(vec![("a", one()), ("b", two())], vec![("b", two()), ("c", one()), ("a", one())], true);
    check(vec![("a", one()), ("b", two())], vec![("a", one())], false);
    check(vec![mode("all"), ("a", one()), ("b", two())], vec![("a", one())], false);
    check(vec![mode("any"), ("a", one()), ("b", two())], vec![("a", one())], true);
    check(vec![mode("any"), ("a", one()), ("b", two())], vec![("a", two())], false);
    // HDR-2
    check(vec![("x-a", one()), ("b", two())], vec![("b", two())], true);
    check(vec![mode("all-with-x"), ("x-a", one()), ("b", two())], vec![("b", two())], false);
    check(vec![mode("any"), ("x-a", one())], vec![("x-a", one())], false);
    check(vec![mode("any-with-x"), ("x-a", one())], vec![("x-a", one())], true);
    // HDR-4
    check(vec![], vec![], true);
    check(vec![mode("all")], vec![("a", one())], true);
    check(vec![mode("any")], vec![("a", one())], false);
    check(vec![mode("any"), ("x-a", one())], vec![("a", one())], false);
    // HDR-5: the first of two counts.
    check(vec![("a", one())], vec![("a", one()), ("a", two())], true);
    check(vec![("a", one())], vec![("a", two()), ("a", one())], false);
    assert!(is_match(&vec![], None));
    assert!(!is_match(&vec![("a", AMQPValue::Void)], None));
}

#[test]
fn values_are_equal_by_number_and_octets() {
    let check = |pattern: AMQPValue, header: AMQPValue, expected: bool| {
        let message = vec![("k", header.clone())];
        let is_match = is_match(&vec![("k", pattern.clone())], Some(&message));
        assert_eq!(is_match, expected, "{pattern:?} and {header:?}");
    };
    check(AMQPValue::LongInt(1), AMQPValue::LongLongInt(1), true);
    check(AMQPValue::ShortShortUInt(200), AMQPValue::LongInt(200), true);
    check(AMQPValue::ShortShortInt(-1), AMQPValue::LongLongInt(-1), true);
    check(AMQPValue::LongInt(1), string("1"), false);
    check(AMQPValue::LongInt(1), AMQPValue::Double(1.0), false);
    check(AMQPValue::Boolean(true), AMQPValue::LongInt(1), false);
    check(AMQPValue::Boolean(true), AMQPValue::Boolean(true), true);
    check(AMQPValue::Float(0.5), AMQPValue::Double(0.5), true);
    check(AMQPValue::Double(0.0), AMQPValue::Double(-0.0), true);
    check(AMQPValue::Double(f64::NAN), AMQPValue::Double(f64::NAN), false);
    check(string("v"), AMQPValue::ByteArray(b"v".as_slice().into()), true);
    check(string("v"), string("V"), false);
    check(AMQPValue::Timestamp(5), AMQPValue::Timestamp(5), false);
    check(AMQPValue::Timestamp(5), AMQPValue::LongLongInt(5), false);
    check(AMQPValue::LongLongInt(5), AMQPValue::Timestamp(5), false);
    // A void pattern asks for presence only; a void header has no value that others equal.
    check(AMQPValue::Void, string("anything"), true);
    check(AMQPValue::Void, AMQPValue::Timestamp(5), true);
    check(AMQPValue::Void, AMQPValue::Void, true);
    check(string(""), AMQPValue::Void, false);
}

#[test]
fn modes_are_the_four_strings() {
    for name in ["all", "any", "all-with-x", "any-with-x"] {
        assert!(Pattern::parse(&table(&vec![("x-match", string(name))])).is_ok());
    }
    let check = |value: AMQPValue, is_string: bool| {
        let table = table(&vec![("x-match", value.clone())]);
        let expected = if is_string {
            PatternRefusal::UnknownMode(&value)
        } else {
            PatternRefusal::NotAString(&value)
        };
        assert_eq!(Pattern::parse(&table).err(), Some(expected));
    };
    check(string("ALL"), true);
    check(string(""), true);
    check(AMQPValue::Void, false);
    check(AMQPValue::LongInt(1), false);
}

fn value() -> impl Strategy<Value = AMQPValue> {
    prop::sample::select(vec![
        AMQPValue::LongInt(1),
        AMQPValue::LongLongInt(1),
        AMQPValue::LongInt(2),
        string("1"),
        AMQPValue::Boolean(true),
        AMQPValue::Double(1.0),
        AMQPValue::Timestamp(1),
        AMQPValue::Void,
    ])
}

pub(crate) fn message() -> impl Strategy<Value = Entries> {
    let key = prop::sample::select(vec!["a", "b", "c", "x-a"]);
    prop::collection::vec((key, value()), 0..5)
}

pub(crate) fn pattern() -> impl Strategy<Value = Entries> {
    let mode =
        prop::option::of(prop::sample::select(vec!["all", "any", "all-with-x", "any-with-x"]));
    (mode, message()).prop_map(|(mode, mut entries)| {
        entries.extend(mode.map(|mode| ("x-match", string(mode))));
        entries
    })
}

/// The rules as they are written, pattern by pattern.
pub(crate) fn matches_naively(arguments: &FieldTable, message: &Entries) -> bool {
    let mode = match arguments.inner().get("x-match") {
        Some(AMQPValue::LongString(mode)) => mode.to_string(),
        _ => "all".into(),
    };
    let mut asked = arguments.inner().iter().filter(|(key, _)| {
        let key = key.as_str();
        key != "x-match" && (mode.ends_with("-with-x") || !key.starts_with("x-"))
    });
    let holds = |(key, wanted): (&haremq_protocol::types::ShortString, &AMQPValue)| {
        let first = message.iter().find(|(name, _)| *name == key.as_str());
        first.is_some_and(|(_, value)| is_equal(wanted, value))
    };
    if mode.starts_with("all") { asked.all(holds) } else { asked.any(holds) }
}

fn is_equal(wanted: &AMQPValue, value: &AMQPValue) -> bool {
    let integer = |value: &AMQPValue| match value {
        AMQPValue::LongInt(value) => Some(i64::from(*value)),
        AMQPValue::LongLongInt(value) => Some(*value),
        _ => None,
    };
    match (wanted, value) {
        (AMQPValue::Void, _) => true,
        (AMQPValue::Timestamp(_), _) | (_, AMQPValue::Timestamp(_)) => false,
        (a, b) if integer(a).is_some() => integer(a) == integer(b),
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn counting_finds_what_the_rules_say(
        patterns in prop::collection::vec(pattern(), 1..30),
        removed in prop::collection::vec(0usize..30, 0..30),
        messages in prop::collection::vec(message(), 1..20),
    ) {
        let mut headers = headers();
        let mut kept: Vec<Option<(FieldTable, Place)>> = Vec::new();
        for (pattern, number) in patterns.iter().zip(0..) {
            let pattern = table(pattern);
            let place = headers.insert(&pattern, target(number));
            kept.push(Some((pattern, place)));
        }
        for number in removed {
            remove(&mut headers, &mut kept, number);
        }
        for message in &messages {
            let expected: Vec<u64> = kept.iter().zip(0u64..).filter_map(|(pattern, number)| {
                let (pattern, _) = pattern.as_ref()?;
                matches_naively(pattern, message).then_some(number)
            }).collect();
            prop_assert_eq!(matching(&headers, Some(message)), expected, "{:?}", message);
        }
        for number in 0..kept.len() {
            remove(&mut headers, &mut kept, number);
        }
        prop_assert!(headers.is_empty());
    }
}

fn remove(headers: &mut Headers, kept: &mut [Option<(FieldTable, Place)>], number: usize) {
    let Some((_, place)) = kept.get_mut(number).and_then(Option::take) else { return };
    if let Some(moved) = headers.remove(place) {
        let moved_to = kept[moved.binding as usize].as_mut().expect("the moved one is there");
        moved_to.1.position = moved.position;
    }
}
