//! SASL responses of the mechanisms PLAIN and AMQPLAIN.

use std::{error, fmt};

use crate::table::{TableReader, Value, scan_table};

/// What a client says it is. Neither part is checked; a blank password never authenticates
/// (CONN-32), which is for the caller to see to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// User name, any octets.
    pub user: &'a [u8],
    /// Password, any octets.
    pub password: &'a [u8],
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = String::from_utf8_lossy(self.user);
        f.debug_struct("Credentials").field("user", &user).finish_non_exhaustive()
    }
}

/// Why a response has no credentials. All but [`SaslError::NotAString`] are the silent drop of
/// CONN-26; that one is refused like a wrong password (CONN-21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslError {
    /// Not of the mechanism's form (CONN-20), or no sound table (CONN-21).
    Malformed,
    /// AMQPLAIN without `LOGIN` or `PASSWORD`.
    MissingField,
    /// AMQPLAIN with a `LOGIN` or `PASSWORD` that is no string.
    NotAString,
}

impl fmt::Display for SaslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "response invalid",
            Self::MissingField => "AMQPLAIN auth info is missing LOGIN or PASSWORD field",
            Self::NotAString => "AMQPLAIN auth info has a LOGIN or PASSWORD that is no string",
        })
    }
}

impl error::Error for SaslError {}

/// Parses a PLAIN response: NUL, user, NUL, password, with nothing before the first NUL
/// (CONN-20).
///
/// # Errors
/// [`SaslError::Malformed`].
pub fn parse_plain(response: &[u8]) -> Result<Credentials<'_>, SaslError> {
    let mut parts = response.split(|octet| *octet == 0);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some([]), Some(user), Some(password), None) => Ok(Credentials { user, password }),
        _ => Err(SaslError::Malformed),
    }
}

/// Parses an AMQPLAIN response: table content with `LOGIN` and `PASSWORD` (CONN-21). Of a
/// duplicated key the first counts.
///
/// # Errors
/// See [`SaslError`].
pub fn parse_amqplain(response: &[u8]) -> Result<Credentials<'_>, SaslError> {
    scan_table(response).map_err(|_| SaslError::Malformed)?;
    let table = TableReader::new(response);
    let user = table.find(b"LOGIN").ok_or(SaslError::MissingField)?;
    let password = table.find(b"PASSWORD").ok_or(SaslError::MissingField)?;
    Ok(Credentials { user: string(user)?, password: string(password)? })
}

fn string(value: Value<'_>) -> Result<&[u8], SaslError> {
    value.as_octets().ok_or(SaslError::NotAString)
}

/// Appends a PLAIN response.
pub fn write_plain(out: &mut Vec<u8>, credentials: &Credentials<'_>) {
    out.push(0);
    out.extend_from_slice(credentials.user);
    out.push(0);
    out.extend_from_slice(credentials.password);
}

/// Appends an AMQPLAIN response.
pub fn write_amqplain(out: &mut Vec<u8>, credentials: &Credentials<'_>) {
    let fields = [(&b"LOGIN"[..], credentials.user), (b"PASSWORD", credentials.password)];
    for (key, octets) in fields {
        let len = u32::try_from(octets.len()).expect("credentials fit a frame");
        crate::content::write_short_string(out, key);
        out.push(b'S');
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(octets);
    }
}

#[cfg(test)]
#[path = "sasl_tests.rs"]
mod tests;
