//! Whether the servers sync before they acknowledge.
//!
//! A server of NATS syncs every two minutes unless it is told otherwise, and acknowledges at once: what it acknowledged before a power cut is
//! gone behind it. It says what it was told over HTTP, under `/varz` of its monitoring address, and nowhere else. What is not known counts as
//! not synced.
//!
//! A server that does not answer is known all the same when most of its cluster answer and none of them is connected to it (`/routez`): it
//! acknowledges nothing now. When it comes back it is like any that is started again later, with whatever settings: the look is at those of now.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::{join, join_all};
use serde::Deserialize;

use super::monitor;

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

#[derive(Debug, Default, Deserialize)]
struct Routez {
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
struct Route {
    remote_id: String,
    #[serde(default)]
    remote_name: String,
}

/// A server that has answered, and the others of its cluster that it is connected to.
type Server = (Varz, Vec<Route>);

/// Why the servers may acknowledge before they sync; `None` when they are known not to. `connected` is the id of the server that the store
/// is connected to.
pub(super) async fn why_not(monitors: &[String], connected: &str, patience: Duration) -> Option<String> {
    if monitors.is_empty() {
        return Some("the store's address names no monitoring address".to_owned());
    }
    let monitors: BTreeSet<&String> = monitors.iter().collect();
    let asked = monitors.iter().map(|host| async {
        let (varz, routez) =
            join(monitor::ask::<Varz>(host, "/varz", patience), monitor::ask::<Routez>(host, "/routez", patience))
                .await;
        Ok((varz?, routez?.routes))
    });
    let (mut servers, mut silent) = (Vec::new(), Vec::new());
    for answer in join_all(asked).await {
        match answer {
            Ok(server) => servers.push(server),
            Err(error) => silent.push(error),
        }
    }
    judge(&servers, &silent, connected)
}

fn judge(servers: &[Server], silent: &[String], connected: &str) -> Option<String> {
    let servers: BTreeMap<&str, &Server> = servers.iter().map(|server| (server.0.server_id.as_str(), server)).collect();
    let silence = silent.first().cloned();
    if !servers.contains_key(connected) {
        let stranger = "the server that answers the store is none of those at the monitoring addresses".to_owned();
        return Some(silence.unwrap_or(stranger));
    }
    let mut clusters = BTreeMap::new();
    for (server, _) in servers.values() {
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
    let (named, size) = match (clusters.values().next(), clusters.len()) {
        (Some(known), 1) => *known,
        _ => return Some("the monitoring addresses are those of several clusters".to_owned()),
    };
    if named == size {
        return None;
    }
    if named + silent.len() < size {
        let named = named + silent.len();
        return Some(format!("the cluster has {size} servers, and {named} of their monitoring addresses are given"));
    }
    let silence = silence.unwrap_or_default();
    let routes = || servers.values().flat_map(|(_, routes)| routes);
    if let Some(other) = routes().find(|route| !servers.contains_key(route.remote_id.as_str())) {
        return Some(format!("{silence}; and the others are connected to server {}", other.remote_name));
    }
    (named * 2 <= size).then_some(silence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: &str, sync_always: bool, cluster: Option<(&str, usize)>) -> Server {
        let meta = cluster.map(|(name, cluster_size)| Meta { name: name.into(), cluster_size });
        let jetstream = Some(JetStream { config: Some(Config { sync_always }), meta });
        (Varz { server_id: id.into(), server_name: id.to_uppercase(), jetstream }, Vec::new())
    }

    /// A server with routes to others.
    fn to(others: &[&str], (varz, _): Server) -> Server {
        let route = |id: &&str| Route { remote_id: (*id).into(), remote_name: id.to_uppercase() };
        (varz, others.iter().map(route).collect())
    }

    #[test]
    fn only_servers_of_which_all_are_known_to_sync_always_are_synced() {
        let of = |id| server(id, true, Some(("c", 3)));
        assert_eq!(judge(&[server("a", true, None)], &[], "a"), None);
        assert_eq!(judge(&[to(&["b", "c"], of("a")), of("b"), of("c")], &[], "b"), None);
        for (servers, why) in [
            (vec![server("a", false, None)], "server A syncs from time to time only"),
            (vec![server("b", true, None)], "none of those"),
            (vec![(Varz { jetstream: None, ..server("a", true, None).0 }, vec![])], "does not say"),
            (vec![of("a"), of("b")], "has 3 servers, and 2 of"),
            (vec![of("a"), of("b"), of("b")], "has 3 servers, and 2 of"),
            (vec![of("a"), of("b"), server("c", false, Some(("c", 3)))], "server C syncs from time to time only"),
            (vec![of("a"), of("b"), server("c", true, Some(("d", 3)))], "several clusters"),
            (vec![of("a"), of("b"), server("c", true, None)], "several clusters"),
        ] {
            let said = judge(&servers, &[], "a").unwrap();
            assert!(said.contains(why), "{said} instead of {why}");
        }
    }

    #[test]
    fn a_server_that_does_not_answer_is_known_when_most_others_do_and_none_is_connected_to_it() {
        let of = |id, others: &[&str]| to(others, server(id, true, Some(("c", 3))));
        let silent = |count: usize| vec!["no answer".to_owned(); count];
        assert_eq!(judge(&[of("a", &["b"]), of("b", &["a"])], &silent(1), "a"), None);
        for (servers, silent, why) in [
            (
                vec![of("a", &["b"]), of("b", &["a", "c"])],
                silent(1),
                "no answer; and the others are connected to server C",
            ),
            (vec![of("a", &[])], silent(2), "no answer"),
            (vec![of("a", &[])], silent(1), "has 3 servers, and 2 of"),
            (vec![of("b", &[])], silent(2), "no answer"),
        ] {
            let said = judge(&servers, &silent, "a").unwrap();
            assert!(said.contains(why), "{said} instead of {why}");
        }
    }
}
