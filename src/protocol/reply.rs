//! Reply codes, and the error value that becomes `channel.close` or `connection.close`.

use std::{error, fmt};

use crate::{
    method::{AMQPClass, channel, connection},
    types::ShortString,
};

/// Octets of a reply text, a short string on the wire (ERR-2).
pub const REPLY_TEXT_BYTES_MAX: usize = 255;

const ELLIPSIS: &str = "...";

/// What a peer did wrong, ready to be sent: code, whole reply text and the method that failed.
///
/// Class and method are 0 until [`ProtocolError::of`] names them (ERR-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    /// Code; its severity says whether the channel or the connection closes.
    pub code: ReplyCode,
    /// `NAME - explanation`, at most 255 octets.
    pub text: String,
    /// Class of the method that failed, 0 if none applies.
    pub class_id: u16,
    /// Method that failed, 0 if none applies.
    pub method_id: u16,
}

impl ProtocolError {
    /// Builds the reply text `NAME - explanation`, cut as in ERR-2; just the name if the
    /// explanation is empty (ERR-8).
    #[cold]
    pub fn new(code: ReplyCode, explanation: impl AsRef<str>) -> Self {
        let explanation = explanation.as_ref();
        let text = match explanation {
            "" => code.name().to_owned(),
            _ => cut(format!("{} - {explanation}", code.name())),
        };
        assert!(text.len() <= REPLY_TEXT_BYTES_MAX);
        Self { code, text, class_id: 0, method_id: 0 }
    }

    /// Names the method that failed (ERR-3).
    #[must_use]
    pub fn of(mut self, class_id: u16, method_id: u16) -> Self {
        self.class_id = class_id;
        self.method_id = method_id;
        self
    }

    /// The `connection.close` that reports this error.
    #[must_use]
    pub fn connection_close(&self) -> AMQPClass {
        AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
            reply_code: self.code.code(),
            reply_text: self.short_text(),
            class_id: self.class_id,
            method_id: self.method_id,
        }))
    }

    /// The `channel.close` that reports this error.
    #[must_use]
    pub fn channel_close(&self) -> AMQPClass {
        AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close {
            reply_code: self.code.code(),
            reply_text: self.short_text(),
            class_id: self.class_id,
            method_id: self.method_id,
        }))
    }

    /// The text is public, so it is cut again rather than trusted.
    fn short_text(&self) -> ShortString {
        ShortString::from(cut(self.text.clone()))
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.code(), self.text)
    }
}

impl error::Error for ProtocolError {}

/// Cuts at 252 octets, at a character boundary, and appends three dots.
fn cut(mut text: String) -> String {
    if text.len() > REPLY_TEXT_BYTES_MAX {
        let mut end = REPLY_TEXT_BYTES_MAX - ELLIPSIS.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(ELLIPSIS);
    }
    text
}

/// Which of the two an error closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A soft error: the channel.
    Channel,
    /// A hard error: the connection. On channel 0 every error is hard.
    Connection,
}

/// The reply codes of ERR-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ReplyCode {
    /// 200, used in a normal close.
    ReplySuccess = 200,
    /// 311
    ContentTooLarge = 311,
    /// 312, only as code of a `basic.return`.
    NoRoute = 312,
    /// 313, never sent.
    NoConsumers = 313,
    /// 320
    ConnectionForced = 320,
    /// 402
    InvalidPath = 402,
    /// 403
    AccessRefused = 403,
    /// 404
    NotFound = 404,
    /// 405
    ResourceLocked = 405,
    /// 406
    PreconditionFailed = 406,
    /// 501
    FrameError = 501,
    /// 502
    SyntaxError = 502,
    /// 503
    CommandInvalid = 503,
    /// 504
    ChannelError = 504,
    /// 505
    UnexpectedFrame = 505,
    /// 506
    ResourceError = 506,
    /// 530
    NotAllowed = 530,
    /// 540
    NotImplemented = 540,
    /// 541
    InternalError = 541,
}

impl ReplyCode {
    /// All codes, in rising order.
    pub const ALL: [Self; 19] = [
        Self::ReplySuccess,
        Self::ContentTooLarge,
        Self::NoRoute,
        Self::NoConsumers,
        Self::ConnectionForced,
        Self::InvalidPath,
        Self::AccessRefused,
        Self::NotFound,
        Self::ResourceLocked,
        Self::PreconditionFailed,
        Self::FrameError,
        Self::SyntaxError,
        Self::CommandInvalid,
        Self::ChannelError,
        Self::UnexpectedFrame,
        Self::ResourceError,
        Self::NotAllowed,
        Self::NotImplemented,
        Self::InternalError,
    ];

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The code with this number, if there is one.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// The name that begins a reply text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReplySuccess => "REPLY_SUCCESS",
            Self::ContentTooLarge => "CONTENT_TOO_LARGE",
            Self::NoRoute => "NO_ROUTE",
            Self::NoConsumers => "NO_CONSUMERS",
            Self::ConnectionForced => "CONNECTION_FORCED",
            Self::InvalidPath => "INVALID_PATH",
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::FrameError => "FRAME_ERROR",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::UnexpectedFrame => "UNEXPECTED_FRAME",
            Self::ResourceError => "RESOURCE_ERROR",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// What the code closes (ERR-1). 200, 312 and 313 close nothing; they count as soft.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::ReplySuccess
            | Self::ContentTooLarge
            | Self::NoRoute
            | Self::NoConsumers
            | Self::AccessRefused
            | Self::NotFound
            | Self::ResourceLocked
            | Self::PreconditionFailed => Severity::Channel,
            _ => Severity::Connection,
        }
    }
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
