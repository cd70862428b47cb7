//! What can be asked about orders, as queries on a bus.

use super::{
    aggregate::OrderStatus,
    query::{OrderPage, OrderQueryHandler, OrderRow},
};
use crate::model::{Consistency, Logging, ModelError, Page, Query, QueryBus, QueryHandler};

/// Asks for one order; `None` is the answer when there is none with this id.
///
/// ```
/// use std::sync::Arc;
/// use factlog::{MemoryStore, block_on, model::{CommandHandler, Consistency, Metadata, QueryBus, Runner, SqliteViews, Stop}};
/// use factlog::orders::{GetOrder, OrderCommandHandler, OrderProjection, OrderQueryHandler};
/// # use factlog::orders::{NewItem, OrderCommand, ShippingAddress};
///
/// # let directory = tempfile::TempDir::new()?;
/// # let file = directory.path().join("views.sqlite");
/// # let address = r#"{"street": "123 Main St", "city": "Seoul", "state": "Seoul", "zipCode": "01234", "country": "KR"}"#;
/// # let create = OrderCommand::CreateOrder {
/// #     order_id: "17".into(),
/// #     user_id: "u-1".into(),
/// #     items: vec![NewItem { product_id: "p".into(), product_name: "Pen".into(), quantity: 2, unit_price: "29.99".parse()? }],
/// #     shipping_address: serde_json::from_str(address)?,
/// #     at: "2018-08-15T12:00:00Z".parse()?,
/// # };
/// let store = Arc::new(MemoryStore::new());
/// let views = SqliteViews::open(file)?;
/// let orders = Runner::new(store.clone(), Arc::new(views.project(OrderProjection)?));
/// let queries = QueryBus::new().register::<GetOrder, _>(OrderQueryHandler::new(views))?;
///
/// let stop = Stop::new();
/// std::thread::scope(|scope| -> Result<(), Box<dyn std::error::Error>> {
///     let running = scope.spawn(|| block_on(orders.run(&stop)));
///     let created = block_on(OrderCommandHandler::new(store.clone()).handle(&create, &Metadata::begin()))?;
///     // Sees what the command did, as soon as the projection has.
///     let consistency = Consistency::at_least(created.position);
///     let order = block_on(queries.ask(GetOrder { order_id: "17".into(), consistency }))?;
///     assert_eq!(order.unwrap().status, "PENDING");
///     stop.stop();
///     Ok(running.join().unwrap()?)
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct GetOrder {
    /// The order's id.
    pub order_id: String,
    /// How recent the answer must be.
    pub consistency: Consistency,
}

/// Asks for a page of a user's orders, newest first.
#[derive(Clone, Debug)]
pub struct GetUserOrders {
    /// The user's id.
    pub user_id: String,
    /// Only those of this status.
    pub status: Option<OrderStatus>,
    /// Which page.
    pub page: Page,
    /// How recent the answer must be.
    pub consistency: Consistency,
}

/// Asks for a page of the orders of a status, newest first.
#[derive(Clone, Debug)]
pub struct GetOrdersByStatus {
    /// The status.
    pub status: OrderStatus,
    /// Which page.
    pub page: Page,
    /// How recent the answer must be.
    pub consistency: Consistency,
}

impl Query for GetOrder {
    type Output = Option<OrderRow>;
}

impl Query for GetUserOrders {
    type Output = OrderPage;
}

impl Query for GetOrdersByStatus {
    type Output = OrderPage;
}

impl OrderQueryHandler {
    /// A bus that leads each of these queries here, and logs it.
    ///
    /// # Errors
    ///
    /// None that an application sees: each query has one handler.
    pub fn into_bus(self) -> Result<QueryBus, ModelError> {
        QueryBus::new()
            .with(Logging)
            .register::<GetOrder, _>(self.clone())?
            .register::<GetUserOrders, _>(self.clone())?
            .register::<GetOrdersByStatus, _>(self)
    }
}

impl QueryHandler<GetOrder> for OrderQueryHandler {
    async fn handle(&self, query: &GetOrder) -> Result<Option<OrderRow>, ModelError> {
        self.at(query.consistency).await?.order(&query.order_id).await
    }
}

impl QueryHandler<GetUserOrders> for OrderQueryHandler {
    async fn handle(&self, query: &GetUserOrders) -> Result<OrderPage, ModelError> {
        self.at(query.consistency).await?.user_orders(&query.user_id, query.status, query.page).await
    }
}

impl QueryHandler<GetOrdersByStatus> for OrderQueryHandler {
    async fn handle(&self, query: &GetOrdersByStatus) -> Result<OrderPage, ModelError> {
        self.at(query.consistency).await?.orders_by_status(query.status, query.page).await
    }
}
