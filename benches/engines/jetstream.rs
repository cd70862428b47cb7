//! What an application does with JetStream by hand: a subject for each stream, a message for each event, an expected sequence number for each
//! append; a stream is read message by message, as the driver has it, and the log by a consumer.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use async_nats::{
    HeaderMap,
    header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID},
    jetstream::{
        self,
        consumer::{AckPolicy, pull::Config},
        context::Context,
        stream::{self, Stream},
    },
};
use bytes::Bytes;
use factlog::BoxFuture;
use futures_util::StreamExt;
use tokio::runtime::{Builder, Runtime};

use super::Work;
use crate::support::peer::Append;

const NAME: &str = "by_hand";
/// Messages that are fetched at a time.
const PAGE: usize = 1_000;

pub struct Log {
    context: Context,
    stream: Stream,
    /// The sequence number of the newest message of each subject, which an append must name.
    newest: Mutex<HashMap<String, u64>>,
    _runtime: Runtime,
}

fn subject(stream: &str) -> String {
    format!("{NAME}.{stream}")
}

impl Log {
    pub fn open(ports: impl Iterator<Item = u16>, replicas: usize) -> Log {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let servers: Vec<String> = ports.map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let (context, stream) = runtime.block_on(async {
            let client = async_nats::connect(servers).await.unwrap();
            let context = jetstream::new(client);
            let config = stream::Config {
                name: NAME.to_owned(),
                subjects: vec![format!("{NAME}.>")],
                num_replicas: replicas,
                allow_direct: true,
                duplicate_window: Duration::from_secs(120),
                ..stream::Config::default()
            };
            let stream = context.create_stream(config).await.unwrap();
            (context, stream)
        });
        Log { context, stream, newest: Mutex::default(), _runtime: runtime }
    }

    /// Reads what a consumer is given, up to this last sequence number.
    async fn consumed(&self, last: u64) -> u64 {
        let config = Config { ack_policy: AckPolicy::None, ..Config::default() };
        let consumer = self.stream.create_consumer(config).await.unwrap();
        let (mut count, mut newest) = (0, 0);
        while newest < last {
            let mut messages = consumer.fetch().max_messages(PAGE).messages().await.unwrap();
            while let Some(message) = messages.next().await {
                // A consumer of several nodes may have no leader yet: it is asked again.
                let Ok(message) = message else { break };
                std::hint::black_box(message.payload.len());
                newest = message.info().unwrap().stream_sequence;
                count += 1;
            }
        }
        self.stream.delete_consumer(&consumer.cached_info().name).await.unwrap();
        count
    }
}

impl Work for Log {
    fn append(&self, append: Append) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (subject, event) = (subject(&append.stream), &append.events[0]);
            let known = self.newest.lock().unwrap().get(&subject).copied().unwrap_or(0);
            let mut headers = HeaderMap::new();
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, known.to_string());
            headers.insert(NATS_MESSAGE_ID, event.id.to_string());
            headers.insert("type", event.event_type);
            let payload: Bytes = event.payload.into();
            // Sent again when no answer comes in time: the server knows the id.
            let acknowledged = loop {
                let (subject, headers, payload) = (subject.clone(), headers.clone(), payload.clone());
                let sent = self.context.publish_with_headers(subject, headers, payload).await.unwrap();
                if let Ok(acknowledged) = sent.await {
                    break acknowledged;
                }
            };
            self.newest.lock().unwrap().insert(subject, acknowledged.sequence);
        })
    }

    fn read_stream(&self, stream: String) -> BoxFuture<'_, u64> {
        Box::pin(async move {
            let subject = subject(&stream);
            let last = self.newest.lock().unwrap()[&subject];
            let (mut count, mut newest) = (0, 0);
            while newest < last {
                let message = self.stream.direct_get_next_for_subject(&subject, Some(newest + 1)).await.unwrap();
                std::hint::black_box(message.payload.len());
                (count, newest) = (count + 1, message.sequence);
            }
            count
        })
    }

    fn read_log(&self) -> BoxFuture<'_, u64> {
        let last = self.newest.lock().unwrap().values().copied().max().unwrap_or(0);
        Box::pin(self.consumed(last))
    }
}
