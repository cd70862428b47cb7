//! Where a store is: `nats://HOST:PORT,HOST:PORT/NAME?monitor=http://HOST:PORT,http://HOST:PORT`.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};

const SCHEME: &str = "nats://";
const DEFAULT_PORT: u16 = 4222;
const DEFAULT_NAME: &str = "factlog";

/// An address, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// `HOST:PORT` of each server.
    pub(super) hosts: Vec<String>,
    /// The name of the log, and the beginning of everything that belongs to it.
    pub(super) name: String,
    /// `HOST:PORT` of each server's monitoring.
    pub(super) monitors: Vec<String>,
    pub(super) replicas: Option<usize>,
    pub(super) accept_unsynced: bool,
    pub(super) user: Option<(String, String)>,
    pub(super) tls: bool,
}

fn wrong(text: &str, reason: impl Into<String>) -> Error {
    // What stands before the `@` is nobody's business.
    let shown = match text.rsplit_once('@') {
        Some((_, rest)) => format!("{SCHEME}{rest}"),
        None => text.to_owned(),
    };
    Error::NotAStore { path: shown.into(), reason: reason.into() }
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Address> {
        let wrong = |reason: &str| wrong(text, reason);
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("the address of NATS begins with nats://"))?;
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, name) = place.split_once('/').unwrap_or((place, ""));
        let name = if name.is_empty() { DEFAULT_NAME } else { name.trim_end_matches('/') };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !name.bytes().all(allowed) || name.len() > 64 {
            return Err(wrong(
                "the name behind the servers has other than ASCII letters, digits, `-` and `_`, or more than 64",
            ));
        }
        // Servers and clients of NATS have subjects of their own, which begin with others.
        if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return Err(wrong("the name behind the servers begins with other than a letter or a digit"));
        }
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let mut address = Address {
            hosts: hosts
                .split(',')
                .map(|host| authority(host, DEFAULT_PORT))
                .collect::<Option<_>>()
                .ok_or_else(|| wrong("the servers are HOST:PORT, with commas between them"))?,
            name: name.to_owned(),
            monitors: Vec::new(),
            replicas: None,
            accept_unsynced: false,
            user: user.map(|user| {
                let (user, password) = user.split_once(':').unwrap_or((user, ""));
                (decode(user), decode(password))
            }),
            tls: false,
        };
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            match setting.split_once('=').unwrap_or((setting, "")) {
                ("monitor", urls) => {
                    for url in urls.split(',') {
                        let host =
                            url.strip_prefix("http://").and_then(|host| authority(host.trim_end_matches('/'), 8222));
                        address
                            .monitors
                            .push(host.ok_or_else(|| wrong("monitor= names addresses as http://HOST:PORT"))?);
                    }
                }
                ("replicas", number) => match number.parse() {
                    Ok(replicas @ 1..=5) => address.replicas = Some(replicas),
                    _ => return Err(wrong("replicas= is a number from 1 to 5")),
                },
                ("accept-unsynced", "") => address.accept_unsynced = true,
                ("tls", "") => address.tls = true,
                _ => return Err(wrong("only monitor=, replicas=, accept-unsynced and tls may stand behind the `?`")),
            }
        }
        Ok(address)
    }
}

/// A host and its port. No host has other characters than these.
fn authority(text: &str, default_port: u16) -> Option<String> {
    let plain = |host: &str| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    let literal = |host: &str| {
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inside.is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (text, default_port),
    };
    (plain(host) || literal(host)).then(|| format!("{host}:{port}"))
}

/// Without what is secret, and without settings.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.hosts.join(","), self.name)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_stands_around_a_password_it_is_not_shown(
            before in "[a-z@:/?%#= &]{0,4}", behind in "[a-z@:/?%#= &]{0,4}", rest in "[a-z@:/?%#=, \\[\\]&]{0,12}"
        ) {
            let text = format!("nats://ann:{before}sesame{behind}@{rest}");
            match Address::parse(&text) {
                Ok(address) => prop_assert!(!format!("{address} {address:?}").contains("sesame"), "{}", text),
                Err(error) => prop_assert!(!format!("{error} {error:?}").contains("sesame"), "{}", error),
            }
        }
    }

    #[test]
    fn an_address_is_taken_apart_and_shown_without_its_secrets() {
        let address =
            Address::parse("nats://me:p%40ss@a:1,b,[::1]:3/log-1?monitor=http://a:8,http://b&replicas=3").unwrap();
        assert_eq!(address.hosts, ["a:1", "b:4222", "[::1]:3"]);
        assert_eq!(address.monitors, ["a:8", "b:8222"]);
        assert_eq!((address.name.as_str(), address.replicas), ("log-1", Some(3)));
        assert_eq!(address.user, Some(("me".into(), "p@ss".into())));
        assert!(!address.accept_unsynced && !address.tls);
        assert_eq!(format!("{address} {address:?}"), "nats://a:1,b:4222,[::1]:3/log-1 nats://a:1,b:4222,[::1]:3/log-1");
        let bare = Address::parse("nats://localhost?accept-unsynced&tls").unwrap();
        assert_eq!(bare.to_string(), "nats://localhost:4222/factlog");
        assert!(bare.accept_unsynced && bare.tls);
    }

    #[test]
    fn what_is_no_address_is_refused_and_the_refusal_has_no_password() {
        for bad in [
            "tcp://u:secret@a:1",
            "nats://",
            "nats://u:secret@",
            "nats://u:secret@a:x",
            "nats://u:secret@a,,b",
            "nats://u:secret@a/b.c",
            "nats://u:secret@a/_INBOX",
            "nats://u:secret@a//",
            "nats://u:secret@a?monitor=https://b",
            "nats://u:secret@a?replicas=0",
            "nats://u:secret@a?other=1",
            "nats://u:secret@a b",
        ] {
            let error = Address::parse(bad).unwrap_err();
            assert!(matches!(error, Error::NotAStore { .. }), "{bad}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
