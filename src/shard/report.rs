//! What the broker's log is to tell: why connections were refused or closed, which clients are told
//! in part or not at all (CONN-1, CONN-26, CONN-30), and why the broker closed channels.

use std::collections::VecDeque;

use haremq_broker::catalog::LoginRefusal;
use haremq_protocol::reply::ReplyCode;

use crate::event::ConnectionSlot;
use crate::limits::{REPORT_CHARS_MAX, REPORTS_WAITING_MAX};
use crate::shard::Shard;

/// A line for the log. Its texts are free of characters that do not show as themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The connection's name (CONN-100).
    pub connection: String,
    /// What happened to it or to its channel, and what to do where that is known.
    pub text: String,
    /// The channel that the broker has closed; none if the line is about the connection.
    pub channel: Option<Box<ClosedChannel>>,
}

/// A channel that the broker has closed for its client's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedChannel {
    /// Its number.
    pub number: u16,
    /// The vhost that it worked in.
    pub vhost: String,
    /// The user of its connection.
    pub user: String,
    /// The reply code.
    pub code: u16,
}

/// What a report is about. Each kind has room of its own, so that none crowds out another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// A connection that was refused, closed or dropped.
    Connection,
    /// A channel that the broker has closed.
    Channel,
}

impl ReportKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [ReportKind; 2] = [ReportKind::Connection, ReportKind::Channel];
}

impl Report {
    /// What it is about.
    pub fn kind(&self) -> ReportKind {
        if self.channel.is_some() { ReportKind::Channel } else { ReportKind::Connection }
    }
}

/// Lines that wait to be written; by kind, how many they are, and how many found no room.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    waiting: VecDeque<Report>,
    counts: [usize; 2],
    suppressed: [u64; 2],
}

impl Reports {
    /// Whether a line of this kind is to be made; if not, it is counted.
    fn has_room(&mut self, kind: ReportKind) -> bool {
        let has_room = self.counts[kind as usize] < REPORTS_WAITING_MAX;
        self.suppressed[kind as usize] += u64::from(!has_room);
        has_room
    }

    fn push(&mut self, report: Report) {
        self.counts[report.kind() as usize] += 1;
        self.waiting.push_back(report);
    }

    fn poll(&mut self) -> Option<Report> {
        let report = self.waiting.pop_front()?;
        self.counts[report.kind() as usize] -= 1;
        Some(report)
    }
}

impl Shard {
    /// The next line for the log.
    pub fn poll_report(&mut self) -> Option<Report> {
        self.front.reports.poll()
    }

    /// Lines of this kind since the last call that were not kept, as [`REPORTS_WAITING_MAX`] waited.
    pub fn take_suppressed_reports(&mut self, kind: ReportKind) -> u64 {
        std::mem::take(&mut self.front.reports.suppressed[kind as usize])
    }

    pub(crate) fn report(&mut self, slot: ConnectionSlot, text: &str) {
        if !self.front.reports.has_room(ReportKind::Connection) {
            return;
        }
        let connection = self.connection_mut(slot).peer.name.clone();
        let text = printable(text);
        self.front.reports.push(Report { connection, text, channel: None });
    }

    /// Tells why the broker closes a channel.
    pub(crate) fn report_channel(&mut self, channel: u32, text: &str, code: ReplyCode) {
        if !self.front.reports.has_room(ReportKind::Channel) {
            return;
        }
        let entry = &self.front.channels[channel as usize];
        let (slot, number) = (entry.connection, entry.number);
        let connection = self.front.connection_ref(slot).expect("it outlives its channels");
        let closed = ClosedChannel {
            number,
            vhost: printable(self.catalog.vhost_name(connection.vhost)),
            user: printable(&connection.identity.user_name),
            code: code.code(),
        };
        let connection = connection.peer.name.clone();
        let (text, channel) = (printable(text), Some(Box::new(closed)));
        self.front.reports.push(Report { connection, text, channel });
    }
}

/// Clients choose parts of the texts: no part may look like another line, or as if it stood in
/// another place, or steer a terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars().take(REPORT_CHARS_MAX) {
        if character.is_control() || is_format_control(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Does Unicode call it a format control (Cf: those for the direction of text are among them), or
/// the end of a line or paragraph (Zl, Zp)?
fn is_format_control(character: char) -> bool {
    matches!(character,
        '\u{ad}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'..='\u{891}'
        | '\u{8e2}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e007f}')
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
        assert_eq!(printable("a\u{2028}b\u{85}c"), "a\\u{2028}b\\u{85}c");
        assert_eq!(printable(&"x".repeat(5000)).len(), REPORT_CHARS_MAX);
    }

    #[test]
    fn no_character_may_turn_or_hide_those_around_it() {
        for character in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{ad}', '\u{e0041}'] {
            let code = u32::from(character);
            assert_eq!(printable(&format!("a{character}b")), format!("a\\u{{{code:x}}}b"));
        }
        assert_eq!(printable("שלום, \u{4f60}\u{597d}, é"), "שלום, \u{4f60}\u{597d}, é");
    }

    #[test]
    fn lines_without_room_are_counted_by_kind() {
        let mut reports = Reports::default();
        let line = || Report { connection: String::new(), text: String::new(), channel: None };
        for _ in 0..REPORTS_WAITING_MAX {
            assert!(reports.has_room(ReportKind::Connection));
            reports.push(line());
        }
        assert!(!reports.has_room(ReportKind::Connection));
        assert!(!reports.has_room(ReportKind::Connection));
        assert!(reports.has_room(ReportKind::Channel), "it has room of its own");
        assert_eq!(reports.suppressed, [2, 0]);
        assert_eq!(reports.poll(), Some(line()));
        assert!(reports.has_room(ReportKind::Connection));
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
