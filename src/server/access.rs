//! Who may do what: tokens, their roles, and the streams that they are limited to.

use std::{fmt, str::FromStr};

use subtle::ConstantTimeEq;

use crate::{
    error::{Error, Result},
    event::{RecordedEvent, StreamName},
    protocol::Secret,
};

/// Shortest secret, in bytes: one that cannot be guessed.
const LEAST_SECRET: usize = 16;

/// What a client may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read, subscribe, acknowledge, load snapshots.
    Read,
    /// Append, save snapshots.
    Append,
    /// Ask for statistics.
    Admin,
}

impl Role {
    /// Its name: `read`, `append` or `admin`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Append => "append",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        let named = [Role::Read, Role::Append, Role::Admin].into_iter().find(|role| role.name() == text);
        named.ok_or_else(|| format!("`{text}` is no role: there are `read`, `append` and `admin`"))
    }
}

/// A token: what its owner may do, proved by a secret.
#[derive(Clone, Debug)]
pub struct Token {
    name: String,
    secret: Secret,
    role: Role,
    prefixes: Vec<String>,
}

impl Token {
    /// A token for streams whose names begin with one of these prefixes; for all streams if there are none.
    ///
    /// # Errors
    ///
    /// When the secret is shorter than 16 bytes, or longer than a client can send.
    pub fn new(
        name: impl Into<String>,
        secret: impl Into<String>,
        role: Role,
        prefixes: Vec<String>,
    ) -> Result<Token, String> {
        let (name, secret) = (name.into(), secret.into());
        match secret.len() {
            0..LEAST_SECRET => Err(format!("the secret of token `{name}` is shorter than {LEAST_SECRET} bytes")),
            LEAST_SECRET..=1024 => Ok(Token { name, secret: Secret::new(secret), role, prefixes }),
            _ => Err(format!("the secret of token `{name}` is longer than 1024 bytes")),
        }
    }
}

/// What one connection may do.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// The token's name, for the log.
    pub(super) name: String,
    role: Role,
    /// Beginnings of streams' names; all streams if there are none.
    prefixes: Vec<String>,
}

/// All tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens(Vec<Token>);

impl Tokens {
    pub(super) fn new(tokens: Vec<Token>) -> Tokens {
        Tokens(tokens)
    }

    /// What the owner of a secret may do. Without tokens, everybody may do everything.
    ///
    /// How long this takes tells nothing but the lengths of secrets: every token is compared to its end.
    pub(super) fn access(&self, secret: &Secret) -> Result<Access> {
        if self.0.is_empty() {
            return Ok(Access { name: "anybody".into(), role: Role::Admin, prefixes: Vec::new() });
        }
        let given = secret.as_str().as_bytes();
        let mut found = None;
        for token in &self.0 {
            let same: bool = token.secret.as_str().as_bytes().ct_eq(given).into();
            if same {
                found = Some(token);
            }
        }
        match found {
            Some(Token { name, role, prefixes, .. }) => {
                Ok(Access { name: name.clone(), role: *role, prefixes: prefixes.clone() })
            }
            None => Err(Error::Unauthorized { reason: "the server does not know this token".into() }),
        }
    }
}

impl Access {
    /// Checks the role.
    pub(super) fn may(&self, role: Role, what: &str) -> Result<()> {
        if self.role >= role {
            return Ok(());
        }
        let reason = format!("the token `{}` has the role `{}`, and {what} takes `{role}`", self.name, self.role);
        Err(Error::Unauthorized { reason })
    }

    /// Checks the role, and that the stream is one of the token's.
    pub(super) fn may_with(&self, role: Role, what: &str, stream: &StreamName) -> Result<()> {
        self.may(role, what)?;
        if self.sees_stream(stream) {
            return Ok(());
        }
        let reason = format!("the token `{}` is not for stream `{stream}`", self.name);
        Err(Error::Unauthorized { reason })
    }

    pub(super) fn sees_stream(&self, stream: &StreamName) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| stream.as_str().starts_with(prefix.as_str()))
    }

    /// Whether an event of the whole log is to be given out.
    pub(super) fn sees(&self, event: &RecordedEvent) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| event.stream_str().starts_with(prefix.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let token = |name: &str, secret: &str, role, prefixes: &[&str]| {
            let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
            Token::new(name, secret, role, prefixes).unwrap()
        };
        Tokens::new(vec![
            token("reader", "reader-0123456789", Role::Read, &[]),
            token("shop", "shop-0123456789ab", Role::Append, &["order-", "cart-"]),
            token("root", "root-0123456789abc", Role::Admin, &[]),
        ])
    }

    #[test]
    fn a_token_allows_its_role_and_streams_and_nothing_else() {
        let stream = |name: &str| StreamName::new(name).unwrap();
        let access = |secret: &str| tokens().access(&Secret::new(secret));
        let (reader, shop) = (access("reader-0123456789").unwrap(), access("shop-0123456789ab").unwrap());
        assert!(reader.may_with(Role::Read, "reading", &stream("order-1")).is_ok());
        assert!(matches!(reader.may(Role::Append, "appending"), Err(Error::Unauthorized { .. })));
        assert!(shop.may_with(Role::Append, "appending", &stream("cart-7")).is_ok());
        assert!(shop.may_with(Role::Append, "appending", &stream("user-7")).is_err());
        assert!(shop.may(Role::Admin, "statistics").is_err());
        assert!(access("root-0123456789abc").unwrap().may(Role::Admin, "statistics").is_ok());
        for wrong in ["", "reader-012345678", "reader-01234567890", "READER-0123456789"] {
            assert!(matches!(access(wrong), Err(Error::Unauthorized { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_refused_and_none_is_shown() {
        assert!(Token::new("a", "short", Role::Read, vec![]).is_err());
        assert!(!format!("{:?}", tokens()).contains("0123456789"));
    }
}
