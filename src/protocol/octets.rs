//! Octets as RabbitMQ's reply texts print them: in Erlang's notation for binaries.

use std::fmt::{self, Write};

/// Prints octets as numbers always: `<<1,2,3>>`.
pub(crate) struct Numbers<'a>(pub(crate) &'a [u8]);

/// Prints octets as a quoted string if all of them are printable: `<<"GET /">>`, else as numbers.
pub(crate) struct Term<'a>(pub(crate) &'a [u8]);

/// Octets printed at most. A reply text holds 255 octets, so more would be cut anyway.
const PRINTED_MAX: usize = 256;

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<<")?;
        for (index, octet) in self.0.iter().take(PRINTED_MAX).enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{octet}")?;
        }
        f.write_str(">>")
    }
}

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() || !self.0.iter().all(|octet| is_printable(*octet)) {
            return Numbers(self.0).fmt(f);
        }
        f.write_str("<<\"")?;
        for octet in self.0.iter().take(PRINTED_MAX) {
            write_escaped(f, *octet)?;
        }
        f.write_str("\">>")
    }
}

fn is_printable(octet: u8) -> bool {
    matches!(octet, b' '..=b'~' | 0x08..=0x0D | 0x1B)
}

fn write_escaped(f: &mut fmt::Formatter<'_>, octet: u8) -> fmt::Result {
    let letter = match octet {
        b'"' => '"',
        b'\\' => '\\',
        0x08 => 'b',
        b'\t' => 't',
        b'\n' => 'n',
        0x0B => 'v',
        0x0C => 'f',
        b'\r' => 'r',
        0x1B => 'e',
        plain => return f.write_char(char::from(plain)),
    };
    f.write_char('\\')?;
    f.write_char(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_octets_print_as_a_string() {
        assert_eq!(Term(b"GET / \"x\"\r\n").to_string(), r#"<<"GET / \"x\"\r\n">>"#);
        assert_eq!(Term(&[0, 60, 255]).to_string(), "<<0,60,255>>");
        assert_eq!(Term(b"").to_string(), "<<>>");
    }

    #[test]
    fn numbers_stay_numbers() {
        assert_eq!(Numbers(b"AB").to_string(), "<<65,66>>");
    }
}
