//! The tables of the Olist data set, as far as orders need them.
//!
//! Orders are read into memory with what belongs to them: a hundred thousand of them are some tens of megabytes.

use std::{collections::HashMap, path::Path};

use factlog::{
    model::BusinessTime,
    orders::{Money, NewItem, OrderCommand, ShippingAddress},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::failure::Failure;

const COUNTRY: &str = "BR";
const UNKNOWN_PRODUCT: &str = "unknown";

/// The statuses that mean the end of an order.
const CANCELLED: [&str; 2] = ["canceled", "unavailable"];

#[derive(Deserialize)]
struct CustomerLine {
    customer_id: String,
    customer_unique_id: String,
    customer_zip_code_prefix: String,
    customer_city: String,
    customer_state: String,
}

#[derive(Deserialize)]
struct ItemLine {
    order_id: String,
    order_item_id: u64,
    product_id: String,
    price: String,
}

#[derive(Deserialize)]
struct ProductLine {
    product_id: String,
    product_category_name: String,
}

#[derive(Deserialize)]
struct CategoryLine {
    product_category_name: String,
    product_category_name_english: String,
}

#[derive(Deserialize)]
struct OrderLine {
    order_id: String,
    customer_id: String,
    order_status: String,
    order_purchase_timestamp: String,
    order_approved_at: Option<String>,
    order_delivered_carrier_date: Option<String>,
    order_delivered_customer_date: Option<String>,
}

/// An order of the tables: its id and what happened to it.
pub struct OlistOrder {
    /// The order's id.
    pub id: String,
    /// What happened to it, in order: a name for each step that is the same in every run, and the command.
    pub steps: Vec<(&'static str, OrderCommand)>,
}

/// Reads the orders of the tables in a directory, in the order of their table.
pub fn read(directory: &Path) -> Result<Vec<OlistOrder>, Failure> {
    let mut customers = HashMap::new();
    lines(directory, "olist_customers_dataset.csv", |line: CustomerLine| {
        customers.insert(line.customer_id.clone(), line);
        Ok(())
    })?;
    let mut items = items(directory)?;
    let mut orders = Vec::new();
    lines(directory, "olist_orders_dataset.csv", |line: OrderLine| {
        let customer =
            customers.get(&line.customer_id).ok_or_else(|| format!("there is no customer `{}`", line.customer_id))?;
        let mut items = items.remove(&line.order_id).unwrap_or_default();
        items.sort_by_key(|(number, _)| *number);
        let items = items.into_iter().map(|(_, item)| item).collect();
        let steps = steps(&line, customer, items)?;
        orders.push(OlistOrder { id: line.order_id, steps });
        Ok(())
    })?;
    Ok(orders)
}

/// The items of each order, with their numbers.
fn items(directory: &Path) -> Result<HashMap<String, Vec<(u64, NewItem)>>, Failure> {
    let mut english = HashMap::new();
    lines(directory, "product_category_name_translation.csv", |line: CategoryLine| {
        english.insert(line.product_category_name, line.product_category_name_english);
        Ok(())
    })?;
    let mut names = HashMap::new();
    lines(directory, "olist_products_dataset.csv", |line: ProductLine| {
        if let Some(name) = english.get(&line.product_category_name) {
            names.insert(line.product_id, name.clone());
        }
        Ok(())
    })?;
    let mut items: HashMap<String, Vec<(u64, NewItem)>> = HashMap::new();
    lines(directory, "olist_order_items_dataset.csv", |line: ItemLine| {
        let unit_price: Money = line.price.parse().map_err(|error| format!("{error}"))?;
        let product_name = names.get(&line.product_id).map_or(UNKNOWN_PRODUCT, String::as_str).to_owned();
        let item = NewItem { product_id: line.product_id, product_name, quantity: 1, unit_price };
        items.entry(line.order_id).or_default().push((line.order_item_id, item));
        Ok(())
    })?;
    Ok(items)
}

fn steps(
    line: &OrderLine,
    customer: &CustomerLine,
    items: Vec<NewItem>,
) -> Result<Vec<(&'static str, OrderCommand)>, String> {
    let order_id = line.order_id.clone();
    let placed = time(&line.order_purchase_timestamp)?;
    let approved = line.order_approved_at.as_deref().map(time).transpose()?;
    let shipped = line.order_delivered_carrier_date.as_deref().map(time).transpose()?;
    let delivered = line.order_delivered_customer_date.as_deref().map(time).transpose()?;
    let shipping_address = ShippingAddress {
        street: String::new(),
        city: customer.customer_city.clone(),
        state: customer.customer_state.clone(),
        zip_code: customer.customer_zip_code_prefix.clone(),
        country: COUNTRY.to_owned(),
    };
    let user_id = customer.customer_unique_id.clone();
    let create = OrderCommand::CreateOrder { order_id: order_id.clone(), user_id, items, shipping_address, at: placed };
    let mut steps = vec![("create", create)];
    if let Some(at) = approved {
        let payment_id = format!("{order_id}-1");
        steps.push(("pay", OrderCommand::CompletePayment { order_id: order_id.clone(), payment_id, at }));
    }
    if let Some(at) = shipped {
        let tracking_number = order_id.clone();
        steps.push(("ship", OrderCommand::StartShipping { order_id: order_id.clone(), tracking_number, at }));
    }
    if let Some(at) = delivered {
        steps.push(("deliver", OrderCommand::CompleteDelivery { order_id: order_id.clone(), at }));
    }
    if CANCELLED.contains(&line.order_status.as_str()) {
        let at = [approved, shipped, delivered].into_iter().flatten().fold(placed, BusinessTime::max);
        steps.push(("cancel", OrderCommand::CancelOrder { order_id, reason: line.order_status.clone(), at }));
    }
    Ok(steps)
}

/// A time of the tables, `2018-08-15 10:10:18`, which is UTC.
fn time(text: &str) -> Result<BusinessTime, String> {
    format!("{}Z", text.replacen(' ', "T", 1)).parse().map_err(|_| format!("`{text}` is no time"))
}

/// Hands every line of a table to `take`.
fn lines<T: DeserializeOwned>(
    directory: &Path,
    file: &str,
    mut take: impl FnMut(T) -> Result<(), String>,
) -> Result<(), Failure> {
    let path = directory.join(file);
    let bad = |reason: String| Failure::BadInput(format!("{}: {reason}", path.display()));
    let mut reader = csv::Reader::from_path(&path).map_err(|error| bad(error.to_string()))?;
    for (line, number) in reader.deserialize().zip(2_u64..) {
        let line: T = line.map_err(|error| bad(error.to_string()))?;
        take(line).map_err(|reason| bad(format!("line {number}: {reason}")))?;
    }
    Ok(())
}
