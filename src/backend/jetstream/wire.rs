//! Requests to the servers, and what of them can be tried again.
//!
//! A request that a server did not take is told from one whose answer did not come: only of the first it is known that it changed
//! nothing. Either is tried again until the time for it is over, while a leader is elected or another connection made.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_nats::{Client, HeaderMap, Message, Request, RequestErrorKind, Subscriber, connection::State, header};
use bytes::Bytes;
use serde::Deserialize;
use tokio::{sync::watch, time};
use uuid::Uuid;

use super::{
    failure::{ApiError, Sorted},
    monitor,
};
use crate::error::{Error, Result};

/// How long the first attempt may take; each next one may take twice as long as the one before, up to the last.
const FIRST_ATTEMPT: Duration = Duration::from_secs(3);
const LONGEST_ATTEMPT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long servers may take to say what is wrong with them.
const MONITOR_PATIENCE: Duration = Duration::from_secs(1);

const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// The connection of a store, to whichever server it is.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) client: Client,
    /// The log's address, for errors.
    pub(super) place: String,
    pub(super) request_time: Duration,
    /// Counts lost connections.
    pub(super) lost: watch::Receiver<u64>,
    /// `HOST:PORT` of the servers' monitoring.
    pub(super) monitors: Vec<String>,
    /// What a server or the client said last of what went wrong.
    pub(super) trouble: Arc<Mutex<Option<String>>>,
}

/// What came of one attempt.
pub(super) enum Answer {
    Message(Box<Message>),
    /// It did not come to anybody who acts on it.
    NotTaken(String),
    /// It may have been acted on.
    Unheard(String),
}

/// What came of a conditional publication.
pub(super) enum Published {
    /// With the sequence number of its last message.
    Stored(u64),
    /// A subject was not at its expected sequence number.
    Moved,
    NotTaken(String),
    Unheard(String),
}

/// A message to be published, if its subject's newest message has this sequence number; 0 for no message.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) subject: String,
    pub(super) expected: Option<u64>,
    pub(super) payload: Bytes,
}

impl Outgoing {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(expected) = self.expected {
            headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        }
        headers
    }
}

#[derive(Deserialize)]
struct Acknowledged {
    #[serde(default)]
    seq: u64,
    error: Option<ApiError>,
}

/// A call that may take several attempts.
pub(super) struct Trying<'a> {
    wire: &'a Wire,
    end: Instant,
    pause: Duration,
    attempt: Duration,
    /// Whether an attempt may have done what was asked for.
    unheard: bool,
}

impl<'a> Trying<'a> {
    /// How long the next attempt may take.
    pub(super) fn attempt(&mut self) -> Duration {
        let left = self.end.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
        let attempt = self.attempt.min(left);
        self.attempt = (self.attempt * 2).min(LONGEST_ATTEMPT);
        attempt
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    ///
    /// When there is no time for another.
    pub(super) async fn pause(&mut self, said: String) -> Result<()> {
        if Instant::now() + self.pause >= self.end {
            return Err(self.wire.given_up(said, self.unheard));
        }
        time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// The error for the end of it all.
    pub(super) fn given_up(&self, said: String) -> Error {
        self.wire.given_up(said, self.unheard)
    }

    /// As [`Trying::pause`], behind an attempt whose answer did not come.
    pub(super) async fn unheard(&mut self, said: String) -> Result<()> {
        self.unheard = true;
        self.pause(said).await
    }
}

impl Wire {
    pub(super) fn trying(&self) -> Trying<'_> {
        let end = Instant::now() + self.request_time;
        Trying { wire: self, end, pause: FIRST_PAUSE, attempt: FIRST_ATTEMPT, unheard: false }
    }

    fn given_up(&self, said: String, unheard: bool) -> Error {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = trouble.map_or_else(|| said.clone(), |trouble| format!("{said}; the last trouble was: {trouble}"));
        let reason = format!("{said} (tried for {:?})", self.request_time);
        if unheard {
            return Error::OutcomeUnknown { reason: format!("{}: {reason}", self.place).into() };
        }
        Error::Unavailable { server: self.place.clone(), reason }
    }

    /// An error with what the servers say is wrong with them, if it is that they did not answer: one whose disk is full says nothing else.
    pub(super) async fn explained(&self, error: Error) -> Error {
        let (Error::OutcomeUnknown { .. } | Error::Unavailable { .. }) = &error else { return error };
        let Some(ailing) = monitor::ailing(&self.monitors, MONITOR_PATIENCE).await else { return error };
        match error {
            Error::OutcomeUnknown { reason } => Error::OutcomeUnknown { reason: format!("{reason}; {ailing}").into() },
            Error::Unavailable { server, reason } => {
                Error::Unavailable { server, reason: format!("{reason}; {ailing}") }
            }
            other => other,
        }
    }

    /// One attempt.
    pub(super) async fn ask(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
        time: Duration,
    ) -> Answer {
        if self.client.connection_state() != State::Connected {
            return Answer::NotTaken("there is no connection".to_owned());
        }
        let mut lost = self.lost.clone();
        lost.mark_unchanged();
        let mut request = Request::new().payload(payload).timeout(Some(time));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        tokio::select! {
            answer = self.client.send_request(subject, request) => match answer {
                Ok(message) => Answer::Message(Box::new(message)),
                Err(error) => match error.kind() {
                    RequestErrorKind::NoResponders => Answer::NotTaken("no server takes it: there is no leader now".to_owned()),
                    RequestErrorKind::TimedOut => Answer::Unheard(format!("no answer within {time:?}")),
                    RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => Answer::NotTaken(error.to_string()),
                    _ => Answer::Unheard(error.to_string()),
                },
            },
            _ = lost.changed() => Answer::Unheard("the connection was lost".to_owned()),
        }
    }

    /// Asks for something that changes nothing, until there is an answer.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when there is none in time.
    pub(super) async fn look(&self, subject: &str, body: &Bytes) -> Result<Message> {
        let mut trying = self.trying();
        loop {
            let time = trying.attempt();
            match self.ask(subject.to_owned(), None, body.clone(), time).await {
                Answer::Message(message) => return Ok(*message),
                Answer::NotTaken(said) | Answer::Unheard(said) => trying.pause(said).await?,
            }
        }
    }

    /// Publishes messages, all or none; one attempt.
    ///
    /// # Errors
    ///
    /// When the servers refuse for good.
    pub(super) async fn publish(&self, messages: &[Outgoing], time: Duration) -> Result<Published> {
        let Some((last, others)) = messages.split_last() else { return Ok(Published::Moved) };
        let mut headers = last.headers();
        if !others.is_empty() {
            if self.client.connection_state() != State::Connected {
                return Ok(Published::NotTaken("there is no connection".to_owned()));
            }
            let batch = Uuid::new_v4().simple().to_string();
            for (number, message) in (1u64..).zip(others) {
                let mut headers = message.headers();
                headers.insert(BATCH_ID, batch.as_str());
                headers.insert(BATCH_SEQUENCE, number.to_string());
                let payload = message.payload.clone();
                // Nothing of it is there before the last message says so, and that one is refused when one of these is missing.
                if let Err(error) = self.client.publish_with_headers(message.subject.clone(), headers, payload).await {
                    return Ok(Published::NotTaken(error.to_string()));
                }
            }
            headers.insert(BATCH_ID, batch.as_str());
            headers.insert(BATCH_SEQUENCE, messages.len().to_string());
            headers.insert(BATCH_COMMIT, "1");
        }
        let message = match self.ask(last.subject.clone(), Some(headers), last.payload.clone(), time).await {
            Answer::Message(message) => message,
            Answer::NotTaken(said) => return Ok(Published::NotTaken(said)),
            Answer::Unheard(said) => return Ok(Published::Unheard(said)),
        };
        let acknowledged: Acknowledged = match serde_json::from_slice(&message.payload) {
            Ok(acknowledged) => acknowledged,
            Err(error) => return Ok(Published::Unheard(format!("an acknowledgement that cannot be read: {error}"))),
        };
        match acknowledged.error.map(|error| error.sort(&self.place)) {
            None => Ok(Published::Stored(acknowledged.seq)),
            Some(Sorted::Moved) => Ok(Published::Moved),
            // A server that is on its way out may say so of what another one stores.
            Some(Sorted::Later(said)) => Ok(Published::Unheard(said)),
            Some(Sorted::Final(error)) => Err(error),
        }
    }

    /// Publishes one message without a condition, until it is stored. It may be stored more than once.
    ///
    /// # Errors
    ///
    /// When it is not stored in time, or refused.
    pub(super) async fn put(&self, subject: String, payload: Bytes) -> Result<()> {
        let message = [Outgoing { subject, expected: None, payload }];
        let mut trying = self.trying();
        loop {
            let time = trying.attempt();
            match self.publish(&message, time).await? {
                Published::Stored(_) => return Ok(()),
                Published::Moved => trying.pause("the subject moved on".to_owned()).await?,
                Published::NotTaken(said) => trying.pause(said).await?,
                Published::Unheard(said) => trying.unheard(said).await?,
            }
        }
    }

    /// Publishes one message in place of the newest of its subject, which may be the one of a number, until it is stored; its own number. An attempt
    /// that arrives after the message is stored is refused.
    ///
    /// # Errors
    ///
    /// When it is not stored in time, or refused.
    pub(super) async fn replace(&self, stream: &str, subject: String, mut before: u64, payload: Bytes) -> Result<u64> {
        let mut trying = self.trying();
        loop {
            let message = [Outgoing { subject: subject.clone(), expected: Some(before), payload: payload.clone() }];
            let time = trying.attempt();
            match self.publish(&message, time).await? {
                Published::Stored(sequence) => return Ok(sequence),
                Published::Moved => {
                    before = match self.newest(stream, &subject).await {
                        Ok(newest) => newest.map_or(0, |newest| newest.sequence),
                        Err(Error::Unavailable { reason, .. }) => return Err(trying.given_up(reason)),
                        Err(error) => return Err(error),
                    };
                    trying.pause("others were always faster".to_owned()).await?;
                }
                Published::NotTaken(said) => trying.pause(said).await?,
                Published::Unheard(said) => trying.unheard(said).await?,
            }
        }
    }

    /// Hears what is published under a subject from now on.
    ///
    /// # Errors
    ///
    /// When the connection has ended for good.
    pub(super) async fn hear(&self, subject: String) -> Result<Subscriber> {
        let failed = |error: &dyn std::fmt::Display| self.given_up(format!("cannot subscribe: {error}"), false);
        let subscriber = self.client.subscribe(subject).await.map_err(|error| failed(&error))?;
        // What is published behind this is heard.
        let _ = self.client.flush().await;
        Ok(subscriber)
    }
}
