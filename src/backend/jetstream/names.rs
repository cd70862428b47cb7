//! The names of streams as subjects, and back.
//!
//! ```text
//!   order-17        factlog.order.17
//!   order-17.b c    factlog.order.17=2Eb=20c
//!   order           factlog.order.=          no dash
//!   order-          factlog.order.==         nothing behind the dash
//!   -17             factlog.=.17             nothing before it
//! ```
//!
//! A subject has always three tokens: the name of the log, the stream's category, and what is behind the first dash. So a category
//! is read by one filter. Bytes other than ASCII letters, digits, `-` and `_` are written as `=` and two hexadecimal digits, so that
//! each name has one subject, and each such subject one name. The longest name makes a subject of 1.6 KiB; servers take 4 KiB.

use std::fmt::Write;

use crate::event::StreamName;

/// Nothing, where a token has to be.
const NOTHING: &str = "=";
/// A dash with nothing behind it.
const DASH: &str = "==";

/// Bytes as a part of a subject, or of a key.
pub(super) fn escape(text: &str) -> String {
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            token.push(char::from(byte));
        } else {
            // Writing into a string does not fail.
            let _ = write!(token, "={byte:02X}");
        }
    }
    token
}

/// The text that was escaped; `None` for what nothing is escaped to.
pub(super) fn unescape(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte == b'=' {
            let (digits, behind) = rest.split_first_chunk::<2>()?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(*byte);
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (escape(&text) == token).then_some(text)
}

/// A stream's two tokens.
pub(super) fn tokens(stream: &StreamName) -> String {
    let rest = match stream.as_str().split_once('-') {
        None => NOTHING.to_owned(),
        Some((_, "")) => DASH.to_owned(),
        Some((_, rest)) => escape(rest),
    };
    format!("{}.{rest}", category_token(stream.category()))
}

/// The token of a category.
pub(super) fn category_token(category: &str) -> String {
    if category.is_empty() { NOTHING.to_owned() } else { escape(category) }
}

/// The stream of a subject's last two tokens.
pub(super) fn stream_of(tokens: &str) -> Option<StreamName> {
    let (category, rest) = tokens.split_once('.')?;
    let category = if category == NOTHING { String::new() } else { unescape(category)? };
    let name = match rest {
        NOTHING => category,
        DASH => category + "-",
        rest => format!("{category}-{}", unescape(rest)?),
    };
    let stream = StreamName::new(name).ok()?;
    (self::tokens(&stream) == tokens).then_some(stream)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens_of(name: &str) -> String {
        tokens(&StreamName::new(name).unwrap())
    }

    #[test]
    fn a_stream_has_the_subject_that_is_drawn() {
        for (name, subject) in [
            ("order-17", "order.17"),
            ("order-17.b c", "order.17=2Eb=20c"),
            ("order", "order.="),
            ("order-", "order.=="),
            ("-17", "=.17"),
            ("-", "=.=="),
            ("a=b-*>", "a=3Db.=2A=3E"),
            ("주문-1", "=EC=A3=BC=EB=AC=B8.1"),
        ] {
            assert_eq!(tokens_of(name), subject);
            assert_eq!(stream_of(subject).unwrap().as_str(), name);
        }
        for foreign in
            ["", "a", "a.b.c", "a.", ".a", "a.=2e", "a.=4", "a.=41", "=41.b", "a.===", "a.=FF", "=24.=", "a.b=0A"]
        {
            assert_eq!(stream_of(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back_from_a_subject_that_a_server_takes(name in "[^\\p{Cc}$][^\\p{Cc}]{0,120}|[-=. *>a]{1,9}") {
            let stream = StreamName::new(name).unwrap();
            let subject = tokens(&stream);
            prop_assert_eq!(stream_of(&subject), Some(stream));
            prop_assert!(subject.len() <= 3 * crate::limits::STREAM_NAME_BYTES + 4);
            prop_assert!(subject.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b'>'));
            prop_assert!(subject.split('.').count() == 2 && subject.split('.').all(|token| !token.is_empty()));
        }

        #[test]
        fn two_names_never_share_a_subject(a in "[-=.a]{1,4}", b in "[-=.a]{1,4}") {
            prop_assert_eq!(a == b, tokens_of(&a) == tokens_of(&b));
        }
    }
}
