//! Messages of the log and of the buckets, as the servers hold them.
//!
//! There are two ways to them. The leader of a stream knows all that was acknowledged, and is asked for one message at a time. Any
//! replica gives many messages at once, but it may be behind; what it gives is what the leader has, as nothing is ever changed. So pages
//! come from any replica, and where they seem to end the leader is asked whether they do.

use std::time::Duration;

use async_nats::{HeaderMap, StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time;

use super::{
    failure::{self, ApiError, NO_MESSAGE, Sorted},
    wire::Wire,
};
use crate::error::{Error, Result};

/// Most bytes of a page.
const PAGE_BYTES: usize = 4 << 20;
/// A header of messages that are no value of their key but say what became of it.
const OPERATION: &str = "KV-Operation";
/// How long a replica may be silent within a page.
const SILENCE: Duration = Duration::from_secs(2);

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) subject: String,
    pub(super) sequence: u64,
    pub(super) payload: Bytes,
    /// In a bucket: that its key was deleted, as NATS's own tools do.
    pub(super) deleted: bool,
}

/// What a replica gave.
#[derive(Default)]
struct Page {
    messages: Vec<Stored>,
    /// Whether the replica has more behind it.
    more: bool,
}

#[derive(Deserialize)]
struct Got {
    message: Option<GotMessage>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct GotMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
}

#[derive(Deserialize)]
struct Info {
    state: Option<State>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    subjects: std::collections::BTreeMap<String, u64>,
}

impl Wire {
    /// The newest message of a stream's subjects, as its leader knows it.
    ///
    /// # Errors
    ///
    /// When no leader answers in time.
    pub(super) async fn newest(&self, stream: &str, subjects: &str) -> Result<Option<Stored>> {
        self.get(stream, json!({ "last_by_subj": subjects })).await
    }

    /// The first message of a stream's subjects from a sequence number on, as its leader knows it.
    ///
    /// # Errors
    ///
    /// When no leader answers in time.
    pub(super) async fn first_from(&self, stream: &str, subjects: &str, from: u64) -> Result<Option<Stored>> {
        self.get(stream, json!({ "seq": from.max(1), "next_by_subj": subjects })).await
    }

    async fn get(&self, stream: &str, what: Value) -> Result<Option<Stored>> {
        let got: Got = self.api(&format!("$JS.API.STREAM.MSG.GET.{stream}"), &what).await?;
        let Some(GotMessage { subject, seq, data, hdrs }) = got.message else { return Ok(None) };
        let decode = |part: &str, what: &str| {
            let bytes = STANDARD.decode(part);
            bytes.map_err(|error| failure::damaged(&self.place, seq, format!("its {what}: {error}")))
        };
        let deleted = String::from_utf8_lossy(&decode(&hdrs, "headers")?).contains(OPERATION);
        Ok(Some(Stored { subject, sequence: seq, payload: decode(&data, "data")?.into(), deleted }))
    }

    /// Asks JetStream for something that changes nothing.
    async fn api<T: Answered>(&self, subject: &str, what: &Value) -> Result<T> {
        let body = Bytes::from(what.to_string());
        let mut trying = self.trying();
        loop {
            let message = self.look(subject, &body).await?;
            let answer: T = match serde_json::from_slice(&message.payload) {
                Ok(answer) => answer,
                Err(error) => {
                    trying.pause(format!("an answer that cannot be read: {error}")).await?;
                    continue;
                }
            };
            match answer.error() {
                None => return Ok(answer),
                Some(error) if error.err_code == NO_MESSAGE => return Ok(answer),
                Some(error) => match error.sort(&self.place) {
                    Sorted::Final(error) => return Err(error),
                    Sorted::Later(said) => trying.pause(said).await?,
                    Sorted::Moved => trying.pause(error.description.clone()).await?,
                },
            }
        }
    }

    /// The subjects of a stream that match, as its leader knows them.
    ///
    /// # Errors
    ///
    /// When no leader answers in time.
    pub(super) async fn subjects(&self, stream: &str, filter: &str) -> Result<Vec<String>> {
        let info: Info =
            self.api(&format!("$JS.API.STREAM.INFO.{stream}"), &json!({ "subjects_filter": filter })).await?;
        Ok(info.state.map(|state| state.subjects.into_keys().collect()).unwrap_or_default())
    }

    /// Removes the messages of a subject from a stream that allows it.
    ///
    /// # Errors
    ///
    /// When no leader answers in time.
    pub(super) async fn purge(&self, stream: &str, subject: &str) -> Result<()> {
        let _: Info = self.api(&format!("$JS.API.STREAM.PURGE.{stream}"), &json!({ "filter": subject })).await?;
        Ok(())
    }

    /// The next messages of a stream's subjects from a sequence number on, at most so many, or one more. None is the end. Behind a message of
    /// this number, of which the caller knows that it is the newest or new enough, the leader is not asked for more.
    ///
    /// # Errors
    ///
    /// When no leader answers in time.
    pub(super) async fn scan(
        &self,
        stream: &str,
        subjects: &str,
        from: u64,
        count: usize,
        known: u64,
    ) -> Result<Vec<Stored>> {
        let Page { mut messages, more } = self.page(stream, subjects, from, count).await;
        let last = messages.last().map_or(0, |last| last.sequence);
        if !more && (last == 0 || last < known) {
            let next = from.max(last + 1);
            messages.extend(self.first_from(stream, subjects, next).await?);
        }
        Ok(messages)
    }

    /// As far as they come without trouble, from any replica.
    pub(super) async fn page_of(&self, stream: &str, subjects: &str, from: u64, count: usize) -> Vec<Stored> {
        self.page(stream, subjects, from, count).await.messages
    }

    async fn page(&self, stream: &str, subjects: &str, from: u64, count: usize) -> Page {
        let mut page = Page::default();
        let what = json!({
            "seq": from.max(1), "next_by_subj": subjects, "batch": count.max(1), "max_bytes": PAGE_BYTES,
        });
        let inbox = self.client.new_inbox();
        let Ok(mut answers) = self.client.subscribe(inbox.clone()).await else { return page };
        let asked =
            self.client.publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, what.to_string().into());
        if asked.await.is_err() {
            return page;
        }
        while let Ok(Some(message)) = time::timeout(SILENCE, answers.next()).await {
            let Some(headers) = &message.headers else { break };
            if let Some(status) = message.status {
                // Any other is an error, which the leader may know better.
                page.more = status == StatusCode::from_u16(204).unwrap_or(StatusCode::OK)
                    && number(headers, "Nats-Num-Pending").is_some_and(|pending| pending > 0)
                    && !page.messages.is_empty();
                break;
            }
            let (Some(sequence), Some(subject)) = (number(headers, "Nats-Sequence"), headers.get("Nats-Subject"))
            else {
                break;
            };
            // One that was lost on the way ends the page before it.
            let before = page.messages.last().map_or(0, |last| last.sequence);
            if number(headers, "Nats-Last-Sequence") != Some(before) {
                page.more = !page.messages.is_empty();
                break;
            }
            let (subject, deleted) = (subject.as_str().to_owned(), headers.get(OPERATION).is_some());
            page.messages.push(Stored { subject, sequence, payload: message.payload, deleted });
        }
        page
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.as_str().parse().ok()
}

/// An answer of JetStream.
trait Answered: for<'a> Deserialize<'a> {
    fn error(&self) -> Option<&ApiError>;
}

impl Answered for Got {
    fn error(&self) -> Option<&ApiError> {
        self.error.as_ref()
    }
}

impl Answered for Info {
    fn error(&self) -> Option<&ApiError> {
        self.error.as_ref()
    }
}

/// The error for what a server says of itself.
pub(super) fn refused(place: &str, reason: impl Into<String>) -> Error {
    Error::NotAStore { path: place.into(), reason: reason.into() }
}
