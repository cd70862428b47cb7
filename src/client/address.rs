//! Where a server is: `tcp://HOST:PORT`, or `tls://HOST:PORT`.

use std::fmt;

use crate::error::{Error, Result};

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) tls: bool,
    /// A name or an IP address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Address> {
        let wrong = |reason: &str| Error::NotAStore { path: text.into(), reason: reason.to_owned() };
        let (tls, rest) = match (text.strip_prefix("tcp://"), text.strip_prefix("tls://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(wrong("a server's address begins with tcp:// or tls://")),
        };
        let Some((host, port)) = rest.trim_end_matches('/').rsplit_once(':') else {
            return Err(wrong("a server's address ends with a port, as in tcp://localhost:4433"));
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match port.parse() {
            Ok(port) if !host.is_empty() => Ok(Address { tls, host: host.to_owned(), port }),
            Ok(_) => Err(wrong("a server's address names a host")),
            Err(_) => Err(wrong("the port is no number up to 65535")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "tls" } else { "tcp" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_printed_and_what_is_none_is_refused() {
        for good in ["tcp://localhost:4433", "tls://store.example:1", "tcp://[::1]:65535"] {
            assert_eq!(Address::parse(good).unwrap().to_string(), good);
        }
        assert_eq!(Address::parse("tcp://[::1]:1").unwrap().host, "::1");
        for bad in ["localhost:4433", "http://a:1", "tcp://a", "tcp://:1", "tcp://a:65536", "tcp://a:x"] {
            assert!(matches!(Address::parse(bad), Err(Error::NotAStore { .. })), "{bad}");
        }
    }
}
