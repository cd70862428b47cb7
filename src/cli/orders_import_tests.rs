use std::fs;

use factlog::{MemoryStore, NewEvent, ReadAll, orders::OrderStatus};
use tempfile::TempDir;

use super::*;

/// A few orders, one for each thing that the tables can say: `o1` is delivered, `o2` has no items, `o3` was handed to the
/// carrier unpaid and then cancelled, `o4` was shipped and then cancelled, `o5` is unavailable after its approval.
fn tables() -> TempDir {
    let directory = TempDir::new().unwrap();
    for (file, text) in [
        (
            "olist_customers_dataset.csv",
            "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state\n\
             c1,u1,04841,sao paulo,SP\nc2,u2,35550,\"itapecerica, sul\",MG\n",
        ),
        (
            "olist_orders_dataset.csv",
            "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,\
             order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date\n\
             o1,c1,delivered,2018-08-15 10:10:18,2018-08-15 11:00:00,2018-08-16 00:00:00,2018-08-17 00:00:00,\n\
             o2,c1,unavailable,2018-08-15 10:10:18,2018-08-15 11:00:00,,,\n\
             o3,c2,canceled,2018-08-15 10:10:18,,2018-08-16 00:00:00,,\n\
             o4,c2,canceled,2018-08-15 10:10:18,2018-08-15 11:00:00,2018-08-14 00:00:00,,\n\
             o5,c2,unavailable,2018-08-15 10:10:18,2018-08-15 11:00:00,,,\n",
        ),
        (
            "olist_order_items_dataset.csv",
            "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value\n\
             o1,2,p2,s,x,0.10,1\no1,1,p1,s,x,12.99,1\no1,10,p3,s,x,1,1\no3,1,p1,s,x,5,1\no4,1,p1,s,x,5,1\no5,1,p1,s,x,5,1\n",
        ),
        (
            "olist_products_dataset.csv",
            "\"product_id\",\"product_category_name\"\np1,beleza_saude\np2,\np3,not_translated\n",
        ),
        (
            "product_category_name_translation.csv",
            "\u{feff}product_category_name,product_category_name_english\nbeleza_saude,health_beauty\n",
        ),
    ] {
        fs::write(directory.path().join(file), text).unwrap();
    }
    directory
}

fn all(store: &MemoryStore) -> Vec<RecordedEvent> {
    block_on(store.read_all(ReadAll::after(factlog::Position::START))).unwrap()
}

fn refused(tally: &Tally) -> Vec<(&str, u64)> {
    tally.refused.iter().map(|(message, count)| (message.as_str(), *count)).collect()
}

const REFUSED: [(&str, u64); 3] = [
    ("Cannot cancel shipped or delivered orders", 1),
    ("Order must have at least one item", 1),
    ("Shipping can only be started for paid orders", 1),
];

#[test]
fn the_tables_become_orders_and_what_the_rules_forbid_is_counted() {
    let orders = olist::read(tables().path()).unwrap();
    let store = Arc::new(MemoryStore::new());
    let tally = import(Arc::clone(&store) as Arc<dyn EventStore>, &orders, 3).unwrap();
    assert_eq!((tally.created, tally.events, refused(&tally)), (4, 12, REFUSED.to_vec()));

    let first = stored_events(&*store, "o1").unwrap().remove(0);
    let data: serde_json::Value = first.json().unwrap();
    assert_eq!(data["userId"], "u1");
    assert_eq!(data["timestamp"], "2018-08-15T10:10:18Z");
    assert_eq!(first.timestamp(), "2018-08-15T10:10:18Z".parse().unwrap());
    assert_eq!(data["shippingAddress"]["zipCode"], "04841");
    let items: Vec<_> = data["items"].as_array().unwrap().iter().map(|item| item["productName"].clone()).collect();
    assert_eq!(items, ["health_beauty", "unknown", "unknown"]);
    assert_eq!((&data["items"][2]["productId"], &data["totalAmount"]), (&"p3".into(), &14.09.into()));

    let orders = factlog::model::Repository::<Order>::new(store);
    let load = |id| block_on(orders.load(id)).unwrap();
    assert_eq!(load("o1").state().status(), OrderStatus::Delivered);
    assert_eq!(load("o1").state().payment_id(), Some("o1-1"));
    assert_eq!(load("o4").state().tracking_number(), Some("o4"));
    let cancelled = |id| load(id).state().cancellation().map(|(at, reason)| format!("{at} {reason}"));
    assert_eq!(cancelled("o3").unwrap(), "2018-08-16T00:00:00Z canceled");
    assert_eq!(cancelled("o5").unwrap(), "2018-08-15T11:00:00Z unavailable");
}

#[test]
fn an_import_that_was_killed_after_any_event_ends_as_an_unbroken_one() {
    let orders = olist::read(tables().path()).unwrap();
    let unbroken = Arc::new(MemoryStore::new());
    let whole = import(Arc::clone(&unbroken) as Arc<dyn EventStore>, &orders, 1).unwrap();
    let events = all(&unbroken);
    for kept in 0..=events.len() {
        let store = Arc::new(MemoryStore::new());
        for event in &events[..kept] {
            let copy = NewEvent::new(event.event_type(), event.payload());
            let copy = copy.with_id(event.id()).with_timestamp(event.timestamp()).with_metadata(event.metadata());
            block_on(store.append(&event.stream(), factlog::ExpectedVersion::Any, vec![copy])).unwrap();
        }
        let tally = import(Arc::clone(&store) as Arc<dyn EventStore>, &orders, 1).unwrap();
        assert_eq!(all(&store), events, "after {kept} events");
        assert_eq!(tally.events, (events.len() - kept) as u64);
        let created = events[kept..].iter().filter(|event| event.event_type() == "OrderCreatedEvent").count();
        assert_eq!(tally.created, created as u64);
        assert_eq!(tally.refused, whole.refused);
    }
}

#[test]
fn a_table_that_is_missing_or_has_a_bad_line_is_named() {
    let directory = tables();
    let file = directory.path().join("olist_order_items_dataset.csv");
    fs::write(&file, "order_id,order_item_id,product_id,price\no1,1,p1,1.999\n").unwrap();
    let failure = olist::read(directory.path()).err().unwrap();
    assert_eq!(failure.exit_code(), 2);
    let message = failure.message().unwrap();
    assert!(message.contains("olist_order_items_dataset.csv: line 2: `1.999`"), "{message}");
    fs::remove_file(&file).unwrap();
    let failure = olist::read(directory.path()).err().unwrap();
    assert!(failure.exit_code() == 2 && failure.message().unwrap().contains("olist_order_items_dataset.csv"));
}
