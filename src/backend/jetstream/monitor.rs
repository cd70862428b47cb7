//! What servers of NATS say of themselves over HTTP, at their monitoring addresses.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::TcpStream, time};

/// Largest answer that is read.
const ANSWER_BYTES: usize = 4 << 20;

#[derive(Deserialize)]
struct Health {
    #[serde(default)]
    error: String,
}

/// Asks for something, and gives what is wrong when there is no such answer in time.
pub(super) async fn ask<T: DeserializeOwned>(host: &str, path: &str, patience: Duration) -> Result<T, String> {
    let said = |error: String| format!("http://{host}{path}: {error}");
    match time::timeout(patience, get(host, path)).await {
        Ok(Ok((status, body))) if status.is_success() => {
            serde_json::from_slice(&body).map_err(|error| said(error.to_string()))
        }
        Ok(Ok((status, _))) => Err(said(format!("it answered {status}"))),
        Ok(Err(error)) => Err(said(error)),
        Err(_) => Err(said(format!("no answer within {patience:?}"))),
    }
}

/// What servers say is wrong with them; `None` when those that answer are well.
pub(super) async fn ailing(monitors: &[String], patience: Duration) -> Option<String> {
    let asked = monitors.iter().map(|host| async move {
        let (status, body) = time::timeout(patience, get(host, "/healthz")).await.ok()?.ok()?;
        let error = serde_json::from_slice::<Health>(&body).ok()?.error;
        (!status.is_success() && !error.is_empty()).then(|| format!("the server at {host} says: {error}"))
    });
    let said: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
    let advice = if said.iter().any(|said| said.contains("no space left")) {
        ". Make room on its disk, and start it again"
    } else {
        ""
    };
    (!said.is_empty()).then(|| format!("{}{advice}", said.join("; ")))
}

async fn get(host: &str, path: &str) -> Result<(StatusCode, Bytes), String> {
    let socket = TcpStream::connect(host).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
    let request = Request::get(path).header(header::HOST, host).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body =
            Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    let driving = async {
        // How it ends is heard by who asks.
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = asking => answer,
        never = driving => never,
    }
}
