//! What can be asked about orders, for a bus.

use super::{
    aggregate::OrderStatus,
    query::{OrderPage, OrderQueryHandler, OrderRow},
};
use crate::model::{Consistency, Logging, ModelError, Page, Query, QueryBus, QueryHandler};

/// One order; `None` when there is none with this id.
#[derive(Clone, Debug)]
pub struct GetOrder {
    /// The order.
    pub order_id: String,
    /// How recent the answer must be.
    pub consistency: Consistency,
}

impl Query for GetOrder {
    type Output = Option<OrderRow>;
}

/// A page of the orders of a user, all or those of one status.
#[derive(Clone, Debug)]
pub struct GetUserOrders {
    /// The user.
    pub user_id: String,
    /// Only orders of this status.
    pub status: Option<OrderStatus>,
    /// Which page.
    pub page: Page,
    /// How recent the answer must be.
    pub consistency: Consistency,
}

impl Query for GetUserOrders {
    type Output = OrderPage;
}

/// A page of the orders of a status.
#[derive(Clone, Debug)]
pub struct GetOrdersByStatus {
    /// The status.
    pub status: OrderStatus,
    /// Which page.
    pub page: Page,
    /// How recent the answer must be.
    pub consistency: Consistency,
}

impl Query for GetOrdersByStatus {
    type Output = OrderPage;
}

impl OrderQueryHandler {
    /// A bus that leads each of these queries here.
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
        self.at(query.consistency).await?.order(&query.order_id)
    }
}

impl QueryHandler<GetUserOrders> for OrderQueryHandler {
    async fn handle(&self, query: &GetUserOrders) -> Result<OrderPage, ModelError> {
        let GetUserOrders { user_id, status, page, consistency } = query;
        self.at(*consistency).await?.user_orders(user_id, *status, *page)
    }
}

impl QueryHandler<GetOrdersByStatus> for OrderQueryHandler {
    async fn handle(&self, query: &GetOrdersByStatus) -> Result<OrderPage, ModelError> {
        let GetOrdersByStatus { status, page, consistency } = query;
        self.at(*consistency).await?.orders_by_status(*status, *page)
    }
}
