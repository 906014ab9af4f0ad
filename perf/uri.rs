//! Where the broker is: `amqp://user:password@host:port/vhost`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A broker's address, with credentials and virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerUri {
    /// As written, without the password.
    pub(crate) shown: String,
    /// Name or address.
    pub(crate) host: String,
    /// 5672 if none is written.
    pub(crate) port: u16,
    /// `guest` if none is written.
    pub(crate) user: String,
    /// `guest` if none is written.
    pub(crate) password: String,
    /// `/` if none is written.
    pub(crate) virtual_host: String,
}

/// Why an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UriError {
    /// Another scheme.
    #[error("{0:?} does not begin with amqp://")]
    Scheme(String),
    /// TLS.
    #[error("TLS (amqps://) is not spoken yet: use amqp://")]
    Tls,
    /// No number between 1 and 65535.
    #[error("{0:?} is no port")]
    Port(String),
    /// A `%` without two hexadecimal digits.
    #[error("{0:?} has a broken %-escape")]
    Escape(String),
    /// More than a short string holds.
    #[error("the virtual host is longer than 255 octets")]
    VirtualHost,
}

impl FromStr for BrokerUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<BrokerUri, UriError> {
        let rest = match text.split_once("://") {
            Some(("amqp", rest)) => rest,
            Some(("amqps", _)) => return Err(UriError::Tls),
            _ => return Err(UriError::Scheme(text.to_owned())),
        };
        let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, "")))
        {
            Some((user, password)) => (unescape(user)?, unescape(password)?),
            None => ("guest".to_owned(), "guest".to_owned()),
        };
        let (host, port) = split_port(place)?;
        let virtual_host = path.map_or(Ok("/".to_owned()), unescape)?;
        if virtual_host.len() > 255 {
            return Err(UriError::VirtualHost);
        }
        let shown = format!("amqp://{host}:{port}/{}", path.unwrap_or("%2f"));
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(BrokerUri { shown, host, port, user, password, virtual_host })
    }
}

impl BrokerUri {
    /// The first address that the name stands for.
    ///
    /// # Errors
    /// What name resolution says.
    pub(crate) fn resolve(&self) -> std::io::Result<SocketAddr> {
        let mut addresses = (self.host.as_str(), self.port).to_socket_addrs()?;
        addresses.next().ok_or_else(|| std::io::Error::other("the name stands for no address"))
    }
}

/// An argument of a command line without the passwords of the addresses in it.
pub(crate) fn hide_passwords(argument: &str) -> String {
    let parts = argument.split(',').map(|part| {
        let Some((scheme, rest)) = part.split_once("://") else { return part.to_owned() };
        match rest.rsplit_once('@') {
            Some((login, place)) => {
                let user = login.split(':').next().unwrap_or_default();
                format!("{scheme}://{user}:***@{place}")
            }
            None => part.to_owned(),
        }
    });
    parts.collect::<Vec<_>>().join(",")
}

fn split_port(place: &str) -> Result<(&str, u16), UriError> {
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (place, "5672"),
    };
    let host = if host.is_empty() { "localhost" } else { host };
    match port.parse() {
        Ok(number) if number > 0 => Ok((host, number)),
        _ => Err(UriError::Port(port.to_owned())),
    }
}

fn unescape(text: &str) -> Result<String, UriError> {
    let broken = || UriError::Escape(text.to_owned());
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let digit = |digit: Option<u8>| char::from(digit?).to_digit(16);
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(broken());
        };
        octets.push((high * 16 + low) as u8);
    }
    String::from_utf8(octets).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, u16, String, String, String) {
        let uri: BrokerUri = text.parse().expect("the address is sound");
        (uri.host, uri.port, uri.user, uri.password, uri.virtual_host)
    }

    fn expected(
        host: &str,
        port: u16,
        user: &str,
        password: &str,
        vhost: &str,
    ) -> (String, u16, String, String, String) {
        (host.into(), port, user.into(), password.into(), vhost.into())
    }

    #[test]
    fn missing_parts_have_the_usual_values() {
        assert_eq!(parts("amqp://"), expected("localhost", 5672, "guest", "guest", "/"));
        assert_eq!(parts("amqp://h"), expected("h", 5672, "guest", "guest", "/"));
        assert_eq!(parts("amqp://h/"), expected("h", 5672, "guest", "guest", ""));
        assert_eq!(parts("amqp://[::1]:99"), expected("::1", 99, "guest", "guest", "/"));
    }

    #[test]
    fn escapes_are_undone() {
        let uri = "amqp://a%40b:p%3aw@h:1/%2fx";
        assert_eq!(parts(uri), expected("h", 1, "a@b", "p:w", "/x"));
        assert!(!uri.parse::<BrokerUri>().expect("sound").shown.contains("p%3aw"));
    }

    #[test]
    fn passwords_are_hidden() {
        let hidden = hide_passwords("--uris=amqp://u:secret@h:1/v,amqp://h2");
        assert_eq!(hidden, "--uris=amqp://u:***@h:1/v,amqp://h2");
        assert_eq!(hide_passwords("--headers=a=1,b=2"), "--headers=a=1,b=2");
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        assert_eq!("amqps://h".parse::<BrokerUri>(), Err(UriError::Tls));
        assert!(matches!("h:1".parse::<BrokerUri>(), Err(UriError::Scheme(_))));
        assert!(matches!("amqp://h:0".parse::<BrokerUri>(), Err(UriError::Port(_))));
        assert!(matches!("amqp://h/%2".parse::<BrokerUri>(), Err(UriError::Escape(_))));
    }
}
