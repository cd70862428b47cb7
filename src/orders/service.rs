//! Orders as an application offers them: requests in, receipts out.

use std::sync::Arc;

use super::{
    command::{ImportedOrderCommand, OrderCommand},
    command_handler::OrderCommandHandler,
    request::OrderRequest,
};
use crate::{
    event_store::EventStore,
    model::{CommandBus, Logging, Metadata, ModelError, Receipt, Retry, Validation},
};

/// Carries out what is asked of orders, through a [`CommandBus`] that logs, refuses what cannot be meant, and tries again
/// when the store is unavailable for a while.
///
/// ```
/// use std::sync::Arc;
/// use factlog::{MemoryStore, block_on, orders::{OrderRequest, OrderService}};
///
/// let orders = OrderService::new(Arc::new(MemoryStore::new()))?;
/// let create: OrderRequest = serde_json::from_str(
///     r#"{"orderId": "17", "action": {"create": {
///         "userId": "u-1",
///         "items": [{"productId": "p", "productName": "Pen", "quantity": 2, "unitPrice": 29.99}],
///         "shippingAddress": {"street": "1 Main St", "city": "Seoul", "state": "Seoul", "zipCode": "01234", "country": "KR"}
///     }}}"#,
/// )?;
/// let receipt = block_on(orders.handle(create))?;
/// assert_eq!((receipt.stream.as_str(), receipt.version), ("order-17", 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OrderService {
    commands: CommandBus,
}

impl OrderService {
    /// The orders in this store.
    ///
    /// # Errors
    ///
    /// None that an application sees: each command has one handler.
    pub fn new(store: Arc<dyn EventStore>) -> Result<OrderService, ModelError> {
        let handler = OrderCommandHandler::new(store);
        let commands = CommandBus::new()
            .with(Logging)
            .with(Validation)
            .with(Retry::default())
            .register::<OrderCommand, _>(handler.clone())?
            .register::<ImportedOrderCommand, _>(handler)?;
        Ok(OrderService { commands })
    }

    /// The bus, for commands that are commands already.
    pub fn commands(&self) -> &CommandBus {
        &self.commands
    }

    /// Carries out a request; what it did is durable when the receipt is there.
    ///
    /// # Errors
    ///
    /// [`ModelError::InvalidField`] for a request that cannot be meant, and as for [`OrderCommandHandler`].
    pub async fn handle(&self, request: OrderRequest) -> Result<Receipt, ModelError> {
        self.handle_with(request, Metadata::begin()).await
    }

    /// The same, with the metadata of whoever asks.
    ///
    /// # Errors
    ///
    /// As for [`OrderService::handle`].
    pub async fn handle_with(&self, request: OrderRequest, metadata: Metadata) -> Result<Receipt, ModelError> {
        let command = OrderCommand::from(request);
        Ok(self.commands.dispatch_with(command, metadata).await?.into())
    }
}
