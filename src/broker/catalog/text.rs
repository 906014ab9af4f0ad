//! Values as reply texts show them.

use std::fmt::Write;

use haremq_protocol::table::value_type_name;
use haremq_protocol::types::{AMQPValue, FieldTable};

use super::identity::integer_of;

/// A value between quotes (ERR-41): a string is shown as it is, anything else as a term.
pub(super) fn plain(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(value) => value.to_string(),
        value => term(value),
    }
}

/// A value in the notation of the texts that print terms (HDR-1).
pub(super) fn term(value: &AMQPValue) -> String {
    let mut text = String::new();
    write_term(&mut text, value);
    text
}

/// Nothing of a text beyond its first 255 octets is ever seen.
const TERM_BYTES_MAX: usize = 256;

fn write_term(text: &mut String, value: &AMQPValue) {
    if text.len() > TERM_BYTES_MAX {
        return;
    }
    match value {
        AMQPValue::Boolean(value) => push(text, value),
        AMQPValue::Float(value) => push(text, format_args!("{value:?}")),
        AMQPValue::Double(value) => push(text, format_args!("{value:?}")),
        AMQPValue::DecimalValue(value) => {
            push(text, format_args!("{{{},{}}}", value.scale, value.value));
        }
        AMQPValue::ShortString(value) => write_binary(text, value.as_str().as_bytes()),
        AMQPValue::LongString(value) => write_binary(text, value.as_bytes()),
        AMQPValue::ByteArray(value) => write_binary(text, value.as_slice()),
        AMQPValue::Timestamp(value) => push(text, value),
        AMQPValue::Void => text.push_str("undefined"),
        AMQPValue::FieldTable(value) => write_table(text, value),
        AMQPValue::FieldArray(value) => {
            let typed = |text: &mut String, value: &AMQPValue| {
                push(text, format_args!("{{{},", value_type_name(value)));
                write_term(text, value);
                text.push('}');
            };
            write_list(text, value.as_slice(), typed);
        }
        value => push(text, integer_of(value).expect("all types but the integer ones are above")),
    }
}

fn write_table(text: &mut String, table: &FieldTable) {
    write_list(text, table, |text, (key, value)| {
        text.push('{');
        write_binary(text, key.as_str().as_bytes());
        push(text, format_args!(",{},", value_type_name(value)));
        write_term(text, value);
        text.push('}');
    });
}

fn write_list<T>(
    text: &mut String,
    values: impl IntoIterator<Item = T>,
    write: impl Fn(&mut String, T),
) {
    text.push('[');
    for (position, value) in values.into_iter().enumerate() {
        if text.len() > TERM_BYTES_MAX {
            break;
        }
        if position > 0 {
            text.push(',');
        }
        write(text, value);
    }
    text.push(']');
}

/// `<<"abc">>` if all is printable, else `<<1,2,3>>`.
fn write_binary(text: &mut String, octets: &[u8]) {
    text.push_str("<<");
    let is_printable = octets.iter().all(|octet| (b' '..=b'~').contains(octet));
    if is_printable && !octets.is_empty() {
        let printed = String::from_utf8_lossy(&octets[..octets.len().min(TERM_BYTES_MAX)]);
        push(text, format_args!("\"{}\"", printed.replace('\\', "\\\\").replace('"', "\\\"")));
    } else {
        for (position, octet) in octets.iter().take(TERM_BYTES_MAX).enumerate() {
            push(text, format_args!("{}{octet}", if position > 0 { "," } else { "" }));
        }
    }
    text.push_str(">>");
}

fn push(text: &mut String, value: impl std::fmt::Display) {
    write!(text, "{value}").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_in_binary_notation() {
        let check = |value: AMQPValue, expected: &str| assert_eq!(term(&value), expected);
        check(AMQPValue::LongString("foo".into()), "<<\"foo\">>");
        check(AMQPValue::LongString("a\"\\".into()), "<<\"a\\\"\\\\\">>");
        check(AMQPValue::LongString("".into()), "<<>>");
        check(AMQPValue::LongString(vec![0, 200].into()), "<<0,200>>");
        check(AMQPValue::LongInt(-5), "-5");
        check(AMQPValue::Boolean(true), "true");
        check(AMQPValue::Double(1.0), "1.0");
        check(AMQPValue::Void, "undefined");
        check(
            AMQPValue::FieldArray(vec![AMQPValue::LongInt(1), AMQPValue::Void].into()),
            "[{signedint,1},{void,undefined}]",
        );
        let mut table = FieldTable::default();
        table.insert("k".into(), AMQPValue::LongString("v".into()));
        check(AMQPValue::FieldTable(table), "[{<<\"k\">>,longstr,<<\"v\">>}]");
    }
}
