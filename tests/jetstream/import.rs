//! The import of orders, by the command, while servers are killed and silent. With OLIST_DIR the published tables, otherwise some made up.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    env,
    fmt::Write,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use factlog::{EventStore, Position, ReadAll, Store, block_on};
use tempfile::TempDir;

use crate::nats::{self, Nats, until};

const ORDERS: usize = 1500;

/// Where the tables are.
fn tables(made_up: &TempDir) -> String {
    if let Ok(directory) = env::var("OLIST_DIR") {
        return directory;
    }
    let (mut orders, mut items) = (String::new(), String::new());
    for order in 0..ORDERS {
        let carried = if order % 5 == 0 { "" } else { "2018-08-16 00:00:00" };
        let delivered = if order % 5 < 2 { "" } else { "2018-08-17 00:00:00" };
        let approved = if order % 7 == 0 { "" } else { "2018-08-15 11:00:00" };
        let line = format!("o{order},c1,delivered,2018-08-15 10:10:18,{approved},{carried},{delivered},");
        writeln!(orders, "{line}").unwrap();
        (0..1 + order % 3).for_each(|item| writeln!(items, "o{order},{item},p1,s,x,0.10,1").unwrap());
    }
    for (file, head, lines) in [
        (
            "olist_customers_dataset.csv",
            "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state",
            "c1,u1,04841,sao paulo,SP\n",
        ),
        (
            "olist_orders_dataset.csv",
            "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,order_delivered_carrier_date,\
             order_delivered_customer_date,order_estimated_delivery_date",
            &orders,
        ),
        (
            "olist_order_items_dataset.csv",
            "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value",
            &items,
        ),
        ("olist_products_dataset.csv", "product_id,product_category_name", "p1,beleza_saude\n"),
        (
            "product_category_name_translation.csv",
            "product_category_name,product_category_name_english",
            "beleza_saude,health_beauty\n",
        ),
    ] {
        fs::write(made_up.path().join(file), format!("{head}\n{lines}")).unwrap();
    }
    made_up.path().to_str().unwrap().to_owned()
}

fn import(store: &str, views: &Path, tables: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factlog"));
    command.args(["--store", store, "orders", "import", tables, "--jobs", "16", "--views"]).arg(views);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

/// The events of each stream: version, id, type, time and payload.
fn streams(store: &dyn EventStore) -> BTreeMap<String, Vec<String>> {
    let (mut streams, mut position) = (BTreeMap::<String, Vec<String>>::new(), Position::START);
    loop {
        let page = block_on(store.read_all(ReadAll::after(position))).unwrap();
        let Some(last) = page.last() else { return streams };
        assert!(last.position() > position);
        position = last.position();
        for event in page {
            let (id, time) = (event.id(), event.timestamp());
            let line = format!("{} {id:?} {} {time} {:?}", event.version(), event.event_type(), event.payload());
            streams.entry(event.stream().to_string()).or_default().push(line);
        }
    }
}

/// Imports into a log, disturbed in between, and into a directory, and compares them.
fn imported_alike(nats: &RefCell<Nats>, disturb: &mut [Box<dyn FnMut() + '_>]) {
    let directory = TempDir::new().unwrap();
    let (tables, embedded) = (tables(&directory), directory.path().join("embedded"));
    let views = |name: &str| directory.path().join(name);
    assert!(import(embedded.to_str().unwrap(), &views("there"), &tables).wait().unwrap().success());

    let store = nats.borrow().open("orders");
    let address = nats.borrow().address("orders");
    let mut importing = import(&address, &views("here"), &tables);
    for disturb in disturb {
        let before = block_on(store.last_position()).unwrap();
        let enough = Position::new(before.get() + (50 << 14));
        until("the import goes on", || {
            assert!(importing.try_wait().unwrap().is_none(), "the import was over before it was disturbed");
            block_on(store.last_position()).unwrap() > enough
        });
        disturb();
    }
    assert!(importing.wait().unwrap().success());
    assert!(streams(&store) == streams(&Store::open(&embedded).unwrap()), "other streams than in the directory");
}

#[test]
fn an_import_into_a_server_that_is_alone_makes_the_same_streams_as_one_into_a_directory() {
    imported_alike(&RefCell::new(Nats::alone()), &mut []);
}

#[test]
fn an_import_goes_on_when_leaders_are_killed_or_silent_and_when_all_servers_are_killed() {
    let nats = RefCell::new(Nats::cluster());
    let leader = || nats.borrow().leader("orders");
    let kill = || {
        let leader = leader();
        nats.borrow_mut().nodes[leader].kill();
    };
    let silence = || {
        let leader = leader();
        nats.borrow().nodes[leader].pause();
        thread::sleep(Duration::from_secs(10));
        nats.borrow().nodes[leader].resume();
    };
    let all = || {
        nats.borrow_mut().nodes.iter_mut().for_each(nats::Node::kill);
        nats.borrow_mut().restart();
    };
    imported_alike(&nats, &mut [Box::new(kill), Box::new(all), Box::new(silence)]);
}
