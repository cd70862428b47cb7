//! The HTTP port: metrics for Prometheus, and whether the server is alive and ready.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | the numbers of [`super::metrics`] |
//! | `/health` | 200 as long as the process answers |
//! | `/ready` | 200 when it takes connections and the store takes appends, 503 when not |

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use super::connection::Common;
use crate::event_store::Followed;

/// Most connections at a time; who asks beyond that waits.
const CONNECTIONS: usize = 64;

/// How long a connection may last.
const LONGEST: Duration = Duration::from_secs(30);

const PROMETHEUS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers until it is dropped.
pub(super) async fn serve(listener: TcpListener, common: Common) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let common = common.clone();
        connections.spawn(async move {
            let _permit = permit;
            let answer = service_fn(move |request| answer(request, common.clone()));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(5));
            let _ = timeout(LONGEST, http.serve_connection(TokioIo::new(stream), answer)).await;
        });
    }
}

async fn answer(request: Request<Incoming>, common: Common) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let text =
                spawn_blocking(move || common.metrics.text(&common.store, &common.requests, &common.responses)).await;
            (StatusCode::OK, PROMETHEUS, text.unwrap_or_default())
        }
        (&Method::GET | &Method::HEAD, "/health") => (StatusCode::OK, TEXT, "alive\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/ready") => match (common.shutdown.is_now(), common.store.is_going_on()) {
            (false, Ok(())) => (StatusCode::OK, TEXT, "ready\n".to_owned()),
            (false, Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{error}\n")),
            (true, _) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "shutting down\n".to_owned()),
        },
        _ => (StatusCode::NOT_FOUND, TEXT, "there are /metrics, /health and /ready\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    Ok(response)
}
