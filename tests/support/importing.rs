//! The import of orders, by the command, while something happens to the store. With OLIST_DIR the published tables, otherwise some made up.

use std::{
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

/// Imports into a store, disturbed in between, and into a directory, and compares them.
pub fn imported_alike(store: &dyn EventStore, address: &str, disturb: &mut [Box<dyn FnMut() + '_>]) {
    let directory = TempDir::new().unwrap();
    let (tables, embedded) = (tables(&directory), directory.path().join("embedded"));
    let views = |name: &str| directory.path().join(name);
    assert!(import(embedded.to_str().unwrap(), &views("there"), &tables).wait().unwrap().success());

    let last = || block_on(store.last_position()).unwrap();
    let mut importing = import(address, &views("here"), &tables);
    for disturb in disturb {
        // Both engines have so many positions for an append.
        let enough = Position::new(last().get() + (50 << 14));
        while last() <= enough {
            assert!(importing.try_wait().unwrap().is_none(), "the import was over before it was disturbed");
            thread::sleep(Duration::from_millis(5));
        }
        disturb();
    }
    assert!(importing.wait().unwrap().success());
    let imported = streams(store);
    assert!(imported == streams(&Store::open(&embedded).unwrap()), "other streams than in the directory");
    // Again, and nothing is there twice.
    let before = last();
    assert!(import(address, &views("again"), &tables).wait().unwrap().success());
    assert_eq!(last(), before);
}
