//! The parts of an order as they stand in its events: JSON with names in camelCase.

use serde::{Deserialize, Serialize};

use super::{aggregate::OrderRefusal, money::Money};

/// The largest number of 15 digits.
const MAX_QUANTITY: i64 = 999_999_999_999_999;

/// An item as a command brings it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewItem {
    /// What is ordered.
    pub product_id: String,
    /// Its name at the time of the order.
    pub product_name: String,
    /// How many pieces; at least 1.
    pub quantity: i64,
    /// The price of one piece; not negative.
    pub unit_price: Money,
}

/// An item of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    /// What is ordered.
    pub product_id: String,
    /// Its name at the time of the order.
    pub product_name: String,
    /// How many pieces.
    pub quantity: i64,
    /// The price of one piece.
    pub unit_price: Money,
    /// The price of all pieces: quantity times unit price.
    pub total_price: Money,
}

impl OrderItem {
    /// Prices an item.
    ///
    /// # Errors
    ///
    /// [`OrderRefusal::QuantityTooSmall`], [`OrderRefusal::NegativePrice`], or [`OrderRefusal::AmountTooLarge`] when the
    /// quantity or the price of all pieces has more than 15 digits.
    pub fn new(item: &NewItem) -> Result<OrderItem, OrderRefusal> {
        if item.quantity < 1 {
            return Err(OrderRefusal::QuantityTooSmall);
        }
        if item.unit_price.is_negative() {
            return Err(OrderRefusal::NegativePrice);
        }
        // Every JSON reader keeps 15 digits of a number, and of something free the price would set no bound.
        if item.quantity > MAX_QUANTITY {
            return Err(OrderRefusal::AmountTooLarge);
        }
        let total_price = item.unit_price.times(item.quantity).ok_or(OrderRefusal::AmountTooLarge)?;
        Ok(OrderItem {
            product_id: item.product_id.clone(),
            product_name: item.product_name.clone(),
            quantity: item.quantity,
            unit_price: item.unit_price,
            total_price,
        })
    }
}

/// Where an order goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShippingAddress {
    /// Street and number.
    pub street: String,
    /// City.
    pub city: String,
    /// State or province.
    pub state: String,
    /// Postal code, as text: leading zeros count.
    pub zip_code: String,
    /// Country.
    pub country: String,
}
