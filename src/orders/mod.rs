//! A sample domain: orders that are placed, paid, shipped, delivered or cancelled.
//!
//! It is written with what any application has, [`crate::model`] and an [`crate::EventStore`], and shows how the parts
//! meet: a request to [`OrderService`] becomes an [`OrderCommand`], which is decided by the aggregate [`Order`], stored by
//! [`OrderCommandHandler`], folded into the table `order_view` by [`OrderProjection`], and asked for by queries such
//! as [`GetOrder`], which [`OrderQueryHandler`] answers.
//!
//! Invariants:
//!
//! - the stream of an order is `order-<order id>`;
//! - an order has at least one item, and its total is the sum of its items;
//! - money is exact: see [`Money`].

mod aggregate;
mod command;
mod command_handler;
mod event;
mod item;
mod money;
mod projection;
mod queries;
mod query;
mod request;
mod service;
mod shipping;

pub use aggregate::{Order, OrderRefusal, OrderStatus, UnknownStatus};
pub use command::{ImportedOrderCommand, OrderCommand};
pub use command_handler::OrderCommandHandler;
pub use event::OrderEvent;
pub use item::{NewItem, OrderItem, ShippingAddress};
pub use money::{Money, MoneyError};
pub use projection::OrderProjection;
pub use queries::{GetOrder, GetOrdersByStatus, GetUserOrders};
pub use query::{OrderPage, OrderQueryHandler, OrderRow};
pub use request::{OrderAction, OrderRequest};
pub use service::OrderService;
pub use shipping::ShippingOnPayment;
