//! What a bus says of its work.

use std::time::Instant;

use tracing::{Instrument, Level};

use super::middleware::{Call, Middleware, Next};
use crate::{event_store::BoxFuture, model::error::ModelError};

/// Tells `tracing` of each command and query: a span with its type and correlation id, and at the end a line with the
/// microseconds that it took, as a warning when it failed. What a command holds is not told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logging;

impl Middleware for Logging {
    fn handle<'a>(&'a self, call: &'a Call<'a>, next: Next<'a>) -> BoxFuture<'a, Result<(), ModelError>> {
        let correlation = call.metadata().correlation_id.as_deref();
        let span =
            tracing::span!(Level::INFO, "handle", kind = call.kind(), name = call.name(), correlation_id = correlation);
        let started = Instant::now();
        let logged = async move {
            let handled = next.run().await;
            let micros = started.elapsed().as_micros() as u64;
            match &handled {
                Ok(()) => tracing::info!(micros, "done"),
                Err(error) => tracing::warn!(micros, %error, "failed"),
            }
            handled
        };
        Box::pin(logged.instrument(span))
    }
}
