//! What can happen to an order.

use serde::{Deserialize, Serialize};

use super::{
    item::{OrderItem, ShippingAddress},
    money::Money,
};
use crate::model::{BusinessTime, DomainEvent};

/// What can happen to an order. In the store each has the type and the JSON field names that a program in TypeScript
/// would give it: `OrderCreatedEvent`, `totalAmount`. Its `timestamp` is the time that the command named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the fields say what the event says")]
pub enum OrderEvent {
    /// The order was placed.
    #[serde(rename = "OrderCreatedEvent")]
    Created {
        order_id: String,
        user_id: String,
        items: Vec<OrderItem>,
        total_amount: Money,
        shipping_address: ShippingAddress,
        timestamp: BusinessTime,
    },
    /// An item was added.
    #[serde(rename = "OrderItemAddedEvent")]
    ItemAdded { order_id: String, item: OrderItem, new_total_amount: Money, timestamp: BusinessTime },
    /// Every item of a product was removed.
    #[serde(rename = "OrderItemRemovedEvent")]
    ItemRemoved { order_id: String, product_id: String, new_total_amount: Money, timestamp: BusinessTime },
    /// The order was confirmed; its items are frozen.
    #[serde(rename = "OrderConfirmedEvent")]
    Confirmed { order_id: String, timestamp: BusinessTime },
    /// The order was paid.
    #[serde(rename = "PaymentCompletedEvent")]
    PaymentCompleted { order_id: String, payment_id: String, timestamp: BusinessTime },
    /// The order was handed to a carrier.
    #[serde(rename = "ShippingStartedEvent")]
    ShippingStarted { order_id: String, tracking_number: String, timestamp: BusinessTime },
    /// The order reached the customer.
    #[serde(rename = "OrderDeliveredEvent")]
    Delivered { order_id: String, timestamp: BusinessTime },
    /// The order was cancelled.
    #[serde(rename = "OrderCancelledEvent")]
    Cancelled { order_id: String, reason: String, timestamp: BusinessTime },
}

impl DomainEvent for OrderEvent {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Recorded, RecordedEvent, StreamName, Timestamp};
    use crate::version::{Position, Version};

    fn recorded(event_type: &str, payload: &str) -> RecordedEvent {
        let new_event = crate::event::NewEvent::new(event_type.parse().unwrap(), payload.to_owned());
        let recorded = Recorded {
            position: Position::FIRST,
            version: Version::FIRST,
            id: new_event.id,
            timestamp: Timestamp::from_micros(0),
        };
        let stream = StreamName::new("order-1").unwrap();
        RecordedEvent::new(recorded, &stream, &new_event.event_type, b"", &new_event.payload)
    }

    /// Each event as another program would write it.
    const WRITTEN: [(&str, &str); 8] = [
        (
            "OrderCreatedEvent",
            r#"{"orderId":"1","userId":"u","items":[{"productId":"a","productName":"A","quantity":2,"unitPrice":29.99,"totalPrice":59.98}],"totalAmount":59.98,"shippingAddress":{"street":"","city":"Seoul","state":"Seoul","zipCode":"01234","country":"KR"},"timestamp":"2018-08-15T10:10:18Z"}"#,
        ),
        (
            "OrderItemAddedEvent",
            r#"{"orderId":"1","item":{"productId":"b","productName":"B","quantity":1,"unitPrice":10,"totalPrice":10},"newTotalAmount":69.98,"timestamp":"2018-08-15T10:10:18Z"}"#,
        ),
        (
            "OrderItemRemovedEvent",
            r#"{"orderId":"1","productId":"b","newTotalAmount":59.98,"timestamp":"2018-08-15T10:10:18Z"}"#,
        ),
        ("OrderConfirmedEvent", r#"{"orderId":"1","timestamp":"2018-08-15T10:10:18Z"}"#),
        ("PaymentCompletedEvent", r#"{"orderId":"1","paymentId":"p","timestamp":"2018-08-15T10:10:18Z"}"#),
        ("ShippingStartedEvent", r#"{"orderId":"1","trackingNumber":"t","timestamp":"2018-08-15T10:10:18Z"}"#),
        ("OrderDeliveredEvent", r#"{"orderId":"1","timestamp":"2018-08-15T10:10:18Z"}"#),
        ("OrderCancelledEvent", r#"{"orderId":"1","reason":"r","timestamp":"2018-08-15T10:10:18.250000Z"}"#),
    ];

    #[test]
    fn every_event_is_read_and_written_as_a_typescript_program_names_it() {
        assert_eq!(WRITTEN.map(|(event_type, _)| event_type), OrderEvent::types());
        for (event_type, json) in WRITTEN {
            let event = OrderEvent::from_recorded(&recorded(event_type, json)).unwrap().unwrap();
            let again = event.to_new_event().unwrap();
            assert_eq!(again.event_type, event_type);
            assert_eq!(again.payload, json);
        }
    }

    #[test]
    fn an_unknown_type_is_told_from_data_that_does_not_fit() {
        assert_eq!(OrderEvent::from_recorded(&recorded("OrderLostEvent", "{}")).unwrap(), None);
        for payload in ["{}", "", "{\"orderId\":\"1\"}", "no JSON", "{}}", "{},\"OrderConfirmedEvent\":{}"] {
            let error = OrderEvent::from_recorded(&recorded("OrderConfirmedEvent", payload)).unwrap_err().to_string();
            assert!(error.contains("event 1 of stream `order-1`"), "{error}");
        }
    }
}
