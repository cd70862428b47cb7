//! Whether the servers sync before they acknowledge.
//!
//! A server of NATS syncs every two minutes unless it is told otherwise, and acknowledges at once: what it acknowledged before a power cut is
//! gone behind it. It says what it was told over HTTP, under `/varz` of its monitoring address, and nowhere else. What is not known counts as
//! not synced.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpStream, time};

/// Largest answer that is read.
const ANSWER_BYTES: usize = 4 << 20;

/// What is read of `/varz`.
#[derive(Debug, Deserialize)]
struct Varz {
    server_id: String,
    #[serde(default)]
    server_name: String,
    jetstream: Option<JetStream>,
}

#[derive(Debug, Deserialize)]
struct JetStream {
    config: Option<Config>,
    meta: Option<Meta>,
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    sync_always: bool,
}

#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(default)]
    name: String,
    #[serde(default)]
    cluster_size: usize,
}

/// Why the servers may acknowledge before they sync; `None` when they are known not to. `connected` is the id of the server that the store
/// is connected to.
pub(super) async fn why_not(monitors: &[String], connected: &str, patience: Duration) -> Option<String> {
    if monitors.is_empty() {
        return Some("the store's address names no monitoring address".to_owned());
    }
    let mut servers = Vec::new();
    for monitor in monitors {
        let answer = time::timeout(patience, varz(monitor)).await;
        match answer.unwrap_or_else(|_| Err(format!("no answer within {patience:?}"))) {
            Ok(server) => servers.push(server),
            Err(error) => return Some(format!("http://{monitor}/varz: {error}")),
        }
    }
    judge(&servers, connected)
}

fn judge(servers: &[Varz], connected: &str) -> Option<String> {
    let servers: BTreeMap<&str, &Varz> = servers.iter().map(|server| (server.server_id.as_str(), server)).collect();
    if !servers.contains_key(connected) {
        return Some("the server that answers the store is none of those at the monitoring addresses".to_owned());
    }
    let mut clusters = BTreeMap::new();
    for server in servers.values() {
        let name = &server.server_name;
        let Some(JetStream { config: Some(config), meta }) = &server.jetstream else {
            return Some(format!("server {name} does not say how it keeps JetStream"));
        };
        if !config.sync_always {
            return Some(format!("server {name} syncs from time to time only"));
        }
        let (cluster, size) = meta.as_ref().map_or(("", 1), |meta| (meta.name.as_str(), meta.cluster_size));
        let known: &mut (usize, usize) = clusters.entry(cluster).or_default();
        *known = (known.0 + 1, known.1.max(size));
    }
    match clusters.values().next() {
        Some((named, size)) if clusters.len() == 1 && named == size => None,
        Some((named, size)) if clusters.len() == 1 => {
            Some(format!("the cluster has {size} servers, and {named} of their monitoring addresses are given"))
        }
        _ => Some("the monitoring addresses are those of several clusters".to_owned()),
    }
}

async fn varz(host: &str) -> Result<Varz, String> {
    let socket = TcpStream::connect(host).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
    let request = Request::get("/varz").header(header::HOST, host).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        let body =
            Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: &str, sync_always: bool, cluster: Option<(&str, usize)>) -> Varz {
        let meta = cluster.map(|(name, cluster_size)| Meta { name: name.into(), cluster_size });
        let jetstream = Some(JetStream { config: Some(Config { sync_always }), meta });
        Varz { server_id: id.into(), server_name: id.to_uppercase(), jetstream }
    }

    #[test]
    fn only_servers_of_which_all_are_known_to_sync_always_are_synced() {
        let of = |id| server(id, true, Some(("c", 3)));
        assert_eq!(judge(&[server("a", true, None)], "a"), None);
        assert_eq!(judge(&[of("a"), of("b"), of("c")], "b"), None);
        for (servers, why) in [
            (vec![server("a", false, None)], "server A syncs from time to time only"),
            (vec![server("b", true, None)], "none of those"),
            (vec![Varz { jetstream: None, ..server("a", true, None) }], "does not say"),
            (vec![of("a"), of("b")], "has 3 servers, and 2 of"),
            (vec![of("a"), of("b"), of("b")], "has 3 servers, and 2 of"),
            (vec![of("a"), of("b"), server("c", false, Some(("c", 3)))], "server C syncs from time to time only"),
            (vec![of("a"), of("b"), server("c", true, Some(("d", 3)))], "several clusters"),
            (vec![of("a"), of("b"), server("c", true, None)], "several clusters"),
        ] {
            let said = judge(&servers, "a").unwrap();
            assert!(said.contains(why), "{said} instead of {why}");
        }
    }
}
