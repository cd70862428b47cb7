//! A process manager: an order that is paid is handed to the carrier.

use std::sync::Arc;

use super::{aggregate::Order, command::OrderCommand, event::OrderEvent};
use crate::{
    event::{EventType, RecordedEvent},
    event_store::{CursorName, EventStore, Subscribe},
    model::{Aggregate, EventHandler, ModelError, Repository},
};

/// Starts the shipping of each order once it is paid. Run it by an [`EventBus`](crate::model::EventBus).
///
/// However often it is killed and started, and however many run at once, an order is shipped once. One that was cancelled in
/// the meantime is not shipped: the rules of [`Order`] hold for it as for everyone.
///
/// ```
/// use std::sync::Arc;
/// use factlog::{MemoryStore, block_on, model::{CommandHandler, EventBus, Metadata, Repository, Stop}};
/// use factlog::orders::{Order, OrderCommand, OrderCommandHandler, OrderStatus, ShippingOnPayment};
/// # use factlog::orders::{NewItem, ShippingAddress};
///
/// let store = Arc::new(MemoryStore::new());
/// let orders = OrderCommandHandler::new(store.clone());
/// # let address = r#"{"street": "123 Main St", "city": "Seoul", "state": "Seoul", "zipCode": "01234", "country": "KR"}"#;
/// # let create = OrderCommand::CreateOrder {
/// #     order_id: "17".into(),
/// #     user_id: "u-1".into(),
/// #     items: vec![NewItem { product_id: "p".into(), product_name: "Pen".into(), quantity: 2, unit_price: "29.99".parse()? }],
/// #     shipping_address: serde_json::from_str(address)?,
/// #     at: "2018-08-15T12:00:00Z".parse()?,
/// # };
/// # block_on(orders.handle(&create, &Metadata::begin()))?;
/// let pay = OrderCommand::CompletePayment {
///     order_id: "17".into(),
///     payment_id: "pay-1".into(),
///     at: "2018-08-15T12:00:00Z".parse()?,
/// };
/// block_on(orders.handle(&pay, &Metadata::correlated("request-1")))?;
///
/// let (bus, stop) = (EventBus::new(store.clone()), Stop::new());
/// std::thread::scope(|scope| -> Result<(), Box<dyn std::error::Error>> {
///     let shipping = ShippingOnPayment::new(store.clone());
///     let running = scope.spawn({ let stop = stop.clone(); move || block_on(bus.run(&shipping, &stop)) });
///     while block_on(orders.orders().load("17"))?.state().status() != OrderStatus::Shipped {
///         std::thread::yield_now();
///     }
///     stop.stop();
///     Ok(running.join().unwrap()?)
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShippingOnPayment {
    orders: Repository<Order>,
}

impl ShippingOnPayment {
    /// For the orders in this store.
    pub fn new(store: Arc<dyn EventStore>) -> ShippingOnPayment {
        ShippingOnPayment { orders: Repository::new(store) }
    }
}

impl EventHandler for ShippingOnPayment {
    fn cursor(&self) -> Result<CursorName, ModelError> {
        Ok(CursorName::new("shipping-on-payment")?)
    }

    fn narrow(&self, everything: Subscribe) -> Subscribe {
        match EventType::new("PaymentCompletedEvent") {
            Ok(paid) => everything.category(Order::CATEGORY).event_type(paid),
            // More than it needs, of which it takes what concerns it.
            Err(_) => everything,
        }
    }

    async fn handle(&self, event: &RecordedEvent) -> Result<(), ModelError> {
        let Some((order_id, OrderEvent::PaymentCompleted { timestamp, .. })) = Order::event_of(event)? else {
            return Ok(());
        };
        let command = OrderCommand::StartShipping {
            order_id: order_id.to_owned(),
            tracking_number: format!("track-{}", event.id()),
            at: timestamp,
        };
        match self.orders.execute_once(&command, event, "ship").await {
            // It has come to something else in the meantime, such as a cancellation: there is nothing to ship.
            Err(ModelError::Refused(_)) => Ok(()),
            done => done.map(drop),
        }
    }
}
