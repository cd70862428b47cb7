//! What comes from outside: plain types, apart from commands, which may change without them.

use serde::{Deserialize, Serialize};

use super::{
    command::OrderCommand,
    item::{NewItem, ShippingAddress},
};
use crate::model::BusinessTime;

/// Something asked of an order, as a caller sends it.
///
/// ```
/// use factlog::orders::OrderRequest;
///
/// let request: OrderRequest = serde_json::from_str(r#"{"orderId": "17", "action": {"pay": {"paymentId": "p-1"}}}"#)?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRequest {
    /// The order.
    pub order_id: String,
    /// When it happened; left out for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<BusinessTime>,
    /// What is asked.
    pub action: OrderAction,
}

/// What can be asked of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the commands")]
pub enum OrderAction {
    /// Place it.
    Create { user_id: String, items: Vec<NewItem>, shipping_address: ShippingAddress },
    /// Add an item.
    AddItem { item: NewItem },
    /// Remove every item of a product.
    RemoveItem { product_id: String },
    /// Freeze its items.
    Confirm,
    /// Record its payment.
    Pay { payment_id: String },
    /// Hand it to a carrier.
    Ship { tracking_number: String },
    /// Record that it has arrived.
    Deliver,
    /// Cancel it.
    Cancel { reason: String },
}

impl From<OrderRequest> for OrderCommand {
    fn from(request: OrderRequest) -> OrderCommand {
        let OrderRequest { order_id, at, action } = request;
        let at = at.unwrap_or_else(BusinessTime::now);
        match action {
            OrderAction::Create { user_id, items, shipping_address } => {
                OrderCommand::CreateOrder { order_id, user_id, items, shipping_address, at }
            }
            OrderAction::AddItem { item } => OrderCommand::AddOrderItem { order_id, item, at },
            OrderAction::RemoveItem { product_id } => OrderCommand::RemoveOrderItem { order_id, product_id, at },
            OrderAction::Confirm => OrderCommand::ConfirmOrder { order_id, at },
            OrderAction::Pay { payment_id } => OrderCommand::CompletePayment { order_id, payment_id, at },
            OrderAction::Ship { tracking_number } => OrderCommand::StartShipping { order_id, tracking_number, at },
            OrderAction::Deliver => OrderCommand::CompleteDelivery { order_id, at },
            OrderAction::Cancel { reason } => OrderCommand::CancelOrder { order_id, reason, at },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_read_from_the_json_that_a_caller_sends() {
        let at: BusinessTime = "2018-08-15T10:10:18Z".parse().unwrap();
        let (order_id, item) =
            ("17".to_owned(), r#"{"productId":"a","productName":"A","quantity":2,"unitPrice":29.99}"#);
        let new_item: NewItem = serde_json::from_str(item).unwrap();
        let address = r#"{"street":"1 Main St","city":"Seoul","state":"Seoul","zipCode":"01234","country":"KR"}"#;
        let shipping_address = serde_json::from_str(address).unwrap();
        let (payment_id, tracking_number) = ("p".to_owned(), "t".to_owned());
        for (json, command) in [
            (
                format!(r#"{{"create":{{"userId":"u","items":[{item}],"shippingAddress":{address}}}}}"#),
                OrderCommand::CreateOrder {
                    order_id: order_id.clone(),
                    user_id: "u".into(),
                    items: vec![new_item.clone()],
                    shipping_address,
                    at,
                },
            ),
            (
                format!(r#"{{"addItem":{{"item":{item}}}}}"#),
                OrderCommand::AddOrderItem { order_id: order_id.clone(), item: new_item, at },
            ),
            (
                r#"{"removeItem":{"productId":"a"}}"#.into(),
                OrderCommand::RemoveOrderItem { order_id: order_id.clone(), product_id: "a".into(), at },
            ),
            (r#""confirm""#.into(), OrderCommand::ConfirmOrder { order_id: order_id.clone(), at }),
            (
                r#"{"pay":{"paymentId":"p"}}"#.into(),
                OrderCommand::CompletePayment { order_id: order_id.clone(), payment_id, at },
            ),
            (
                r#"{"ship":{"trackingNumber":"t"}}"#.into(),
                OrderCommand::StartShipping { order_id: order_id.clone(), tracking_number, at },
            ),
            (r#""deliver""#.into(), OrderCommand::CompleteDelivery { order_id: order_id.clone(), at }),
            (
                r#"{"cancel":{"reason":"r"}}"#.into(),
                OrderCommand::CancelOrder { order_id: order_id.clone(), reason: "r".into(), at },
            ),
        ] {
            let json = format!(r#"{{"orderId":"17","at":"{at}","action":{json}}}"#);
            let request: OrderRequest = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&request).unwrap(), json);
            assert_eq!(OrderCommand::from(request), command);
        }
        for bad in
            [r#"{"orderId":"17","action":"lose"}"#, r#"{"orderId":"17","action":"pay"}"#, r#"{"action":"confirm"}"#]
        {
            assert!(serde_json::from_str::<OrderRequest>(bad).is_err(), "{bad}");
        }
    }
}
