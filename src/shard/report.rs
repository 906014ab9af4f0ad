//! What the broker's log is to tell: why connections were refused or closed, which clients are told
//! in part or not at all (CONN-1, CONN-26, CONN-30).

use haremq_broker::catalog::LoginRefusal;

use crate::event::ConnectionSlot;
use crate::limits::{REPORT_CHARS_MAX, REPORTS_WAITING_MAX};
use crate::shard::Shard;

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The connection's name (CONN-100).
    pub connection: String,
    /// What happened to it, and what to do where that is known. Free of control characters.
    pub text: String,
}

impl Shard {
    /// The next line for the log. Those beyond [`REPORTS_WAITING_MAX`] are not kept.
    pub fn poll_report(&mut self) -> Option<Report> {
        self.front.reports.pop_front()
    }

    pub(crate) fn report(&mut self, slot: ConnectionSlot, text: &str) {
        if self.front.reports.len() < REPORTS_WAITING_MAX {
            let connection = self.connection_mut(slot).peer.name.clone();
            self.front.reports.push_back(Report { connection, text: printable(text) });
        }
    }
}

/// Clients choose parts of the texts: no part may look like another line, or steer a terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars().take(REPORT_CHARS_MAX) {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// What speaks on the other side of a socket whose first octets are not AMQP 0-9-1's.
pub(crate) fn stranger(input: &[u8]) -> &'static str {
    const HTTP: [&[u8]; 6] = [b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS"];
    match input {
        [0x16, 3, ..] => "refused: it speaks TLS, and this port does not",
        [b'A', b'M', b'Q', b'P', 0 | 3, 1, ..] => "refused: it speaks AMQP 1.0, use AMQP 0-9-1",
        [b'A', b'M', b'Q', b'P', ..] => "refused: it speaks another version than AMQP 0-9-1",
        _ if HTTP.iter().any(|word| input.starts_with(word)) => {
            "refused: it speaks HTTP, and this port AMQP 0-9-1"
        }
        _ => "refused: it does not speak AMQP 0-9-1",
    }
}

/// For the one text that clients get for all causes.
pub(crate) fn login_refusal(user: &[u8], refusal: LoginRefusal) -> String {
    let user = String::from_utf8_lossy(user);
    let reason = match refusal {
        LoginRefusal::UnknownUser => "there is no such user",
        LoginRefusal::WrongPassword => "the password is wrong",
        LoginRefusal::NotFromLoopback => {
            "this user may only come over a loopback address, such as localhost"
        }
    };
    format!("login of user '{user}' refused: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_on_their_line_and_within_their_length() {
        assert_eq!(printable("a\r\nb\u{1b}[31mé'"), "a\\r\\nb\\u{1b}[31mé'");
        assert_eq!(printable(&"x".repeat(5000)).len(), REPORT_CHARS_MAX);
    }

    #[test]
    fn common_mix_ups_are_named() {
        let cases = [
            (&b"GET / HT"[..], "HTTP"),
            (&[0x16, 3, 1, 2, 0, 1, 0, 1], "TLS"),
            (b"AMQP\x00\x01\x00\x00", "1.0"),
            (b"AMQP\x03\x01\x00\x00", "1.0"),
            (b"AMQP\x01\x01\x08\x00", "another version"),
            (b"SSH-2.0-", "does not speak"),
        ];
        for (input, expected) in cases {
            assert!(stranger(input).contains(expected), "{input:?}");
        }
    }
}
