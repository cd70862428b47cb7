//! The published orders, imported into each engine while it is killed: the same streams as in a directory.
//!
//! `OLIST_DIR` says where the tables are. The first two thousand orders of them are imported, or as many as `OLIST_ORDERS` says.

use std::{
    collections::{BTreeMap, HashSet},
    env, fs, io,
    path::Path,
    process::{Child, Stdio},
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use factlog::{EventStore, block_on};
use serde_json::Value;
use tempfile::TempDir;

#[cfg(feature = "jetstream")]
use crate::nats::{Nats, Node};
use crate::{
    exported,
    interrupted::{said, seen},
    text,
};

/// The events of each stream, without their positions.
type Streams = BTreeMap<String, Vec<Value>>;

fn streams(store: &str) -> Streams {
    let mut streams: Streams = BTreeMap::new();
    for line in exported(store) {
        let mut event: Value = serde_json::from_str(&line).unwrap();
        event.as_object_mut().unwrap().remove("position");
        streams.entry(event["stream"].as_str().unwrap().to_owned()).or_default().push(event);
    }
    streams
}

/// The tables, with only the first orders and what belongs to them.
fn first_orders(directory: &Path) -> TempDir {
    let count = env::var("OLIST_ORDERS").map_or(2000, |count| count.parse().unwrap());
    let orders = fs::read_to_string(directory.join("olist_orders_dataset.csv")).unwrap();
    let id = |line: &str| line.split(',').next().unwrap().to_owned();
    // With the names of the columns.
    let kept: HashSet<String> = orders.lines().take(count + 1).map(id).collect();
    let part = TempDir::new().unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let table = fs::read(entry.path()).unwrap();
        let of_orders = name.starts_with("olist_order");
        let table = if of_orders {
            let lines = String::from_utf8(table).unwrap();
            let lines = lines.lines().filter(|line| kept.contains(&id(line)));
            (lines.collect::<Vec<_>>().join("\n") + "\n").into_bytes()
        } else {
            table
        };
        fs::write(part.path().join(name), table).unwrap();
    }
    part
}

/// The directory with the tables, and what they become in a store that nothing happens to.
fn published() -> Option<(&'static str, &'static Streams)> {
    static PUBLISHED: OnceLock<Option<(TempDir, Streams)>> = OnceLock::new();
    let published = PUBLISHED.get_or_init(|| {
        let Ok(all) = env::var("OLIST_DIR") else {
            eprintln!("skipped: OLIST_DIR does not say where the tables are");
            return None;
        };
        let (tables, directory) = (first_orders(Path::new(&all)), tempfile::tempdir().unwrap());
        let run = crate::factlog(&["--store", text(directory.path()), "orders", "import", text(tables.path())]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let streams = streams(text(directory.path()));
        Some((tables, streams))
    });
    published.as_ref().map(|(tables, streams)| (text(tables.path()), streams))
}

/// An import into a store, and a look at how far it has come.
struct Importing {
    child: Child,
    watching: Arc<dyn EventStore>,
}

impl Importing {
    fn begin(tables: &str, url: &str, watching: impl EventStore + 'static) -> Importing {
        let mut command = crate::process::factlog();
        command.stdout(Stdio::null()).args(["--store", url, "orders", "import", tables]);
        Importing { child: command.spawn().unwrap(), watching: Arc::new(watching) }
    }

    fn last(&self) -> u64 {
        block_on(self.watching.last_position()).unwrap().get()
    }

    /// Waits until more has come in.
    fn goes_on(&mut self) {
        let (before, watching) = (self.last(), self.watching.clone());
        let more = || block_on(watching.last_position()).unwrap().get() > before;
        assert!(seen(&mut self.child, more), "it has ended: {}", said(&mut self.child));
    }

    /// Waits for its end, and compares.
    fn ends_with(mut self, url: &str, streams_of_all: &Streams) -> io::Result<()> {
        let said = said(&mut self.child);
        assert_eq!(self.child.wait()?.code(), Some(0), "{said}");
        assert!(streams(url) == *streams_of_all, "other streams than in a directory");
        Ok(())
    }
}

#[cfg(feature = "postgres")]
#[test]
fn the_published_orders_are_in_a_database_that_was_killed_as_they_are_in_a_directory() {
    use crate::postgres::Postgres;

    let Some((tables, whole)) = published() else { return };
    let postgres = Postgres::new();
    let url = postgres.database();
    let watching = factlog::backend::postgres::PostgresStore::connect(&url).unwrap();
    let mut importing = Importing::begin(tables, &url, watching);
    for _ in 0..3 {
        importing.goes_on();
        postgres.kill();
        postgres.start();
    }
    importing.goes_on();
    importing.ends_with(&url, whole).unwrap();
}

#[cfg(feature = "jetstream")]
#[test]
fn the_published_orders_are_on_one_node_that_was_killed_as_they_are_in_a_directory() {
    let Some((tables, whole)) = published() else { return };
    let mut nats = Nats::alone();
    let url = nats.address("orders");
    let mut importing = Importing::begin(tables, &url, nats.open("orders"));
    for _ in 0..2 {
        importing.goes_on();
        nats.nodes[0].kill();
        nats.restart();
    }
    importing.goes_on();
    importing.ends_with(&url, whole).unwrap();
}

#[cfg(feature = "jetstream")]
#[test]
fn the_published_orders_are_on_a_cluster_whose_nodes_were_killed_and_stopped_as_they_are_in_a_directory() {
    let Some((tables, whole)) = published() else { return };
    let mut nats = Nats::cluster();
    let url = nats.address("orders");
    let mut importing = Importing::begin(tables, &url, nats.open("orders"));
    importing.goes_on();
    let leader = nats.leader("orders");
    nats.nodes[leader].kill();
    importing.goes_on();
    nats.restart();

    importing.goes_on();
    let leader = nats.leader("orders");
    nats.nodes[leader].pause();
    // So long it is to stand still.
    thread::sleep(Duration::from_secs(10));
    nats.nodes[leader].resume();

    importing.goes_on();
    nats.nodes.iter_mut().for_each(Node::kill);
    nats.restart();
    importing.goes_on();
    importing.ends_with(&url, whole).unwrap();
}
