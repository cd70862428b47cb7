//! `factlog orders`: the sample domain from the command line.
//!
//! What changes an order goes through [`OrderService`]; what is asked goes through the read model, which is
//! caught up first.

use std::sync::Arc;

use clap::{ArgGroup, Args, Subcommand};
use factlog::{
    MemoryStore, block_on,
    model::{Aggregate, Consistency, ModelError},
    orders::{
        GetOrder, GetOrdersByStatus, GetUserOrders, NewItem, Order, OrderAction, OrderQueryHandler, OrderRequest,
        OrderService, OrderStatus, ShippingAddress,
    },
};
use serde::de::DeserializeOwned;

use super::{
    domain::{Paging, Time, history},
    failure::Failure,
    open,
    orders_import::OrdersImport,
    output::Output,
    place::Place,
    views::{self, Freshness, Sample, ViewsPlace},
};

/// Place orders, see them through their lives, and ask for them: a sample domain on the store
#[derive(Debug, Args)]
pub struct Orders {
    #[command(flatten)]
    views: ViewsPlace,

    #[command(subcommand)]
    command: OrdersCommand,
}

#[derive(Debug, Subcommand)]
enum OrdersCommand {
    /// Place an order
    Create {
        id: String,
        /// Who orders
        #[arg(long)]
        user: String,
        /// An item: {"productId", "productName", "quantity", "unitPrice"}; once for each
        #[arg(long = "item", value_name = "JSON", value_parser = json::<NewItem>, num_args = 1..)]
        items: Vec<NewItem>,
        /// Where it goes: {"street", "city", "state", "zipCode", "country"}
        #[arg(long, value_name = "JSON", value_parser = json::<ShippingAddress>)]
        address: ShippingAddress,
        #[command(flatten)]
        time: Time,
    },
    /// Add an item to a pending order
    AddItem {
        id: String,
        /// The item: {"productId", "productName", "quantity", "unitPrice"}
        #[arg(long, value_name = "JSON", value_parser = json::<NewItem>)]
        item: NewItem,
        #[command(flatten)]
        time: Time,
    },
    /// Remove every item of a product from a pending order
    RemoveItem {
        id: String,
        /// The product's id
        #[arg(long)]
        product: String,
        #[command(flatten)]
        time: Time,
    },
    /// Confirm a pending order: its items are frozen
    Confirm {
        id: String,
        #[command(flatten)]
        time: Time,
    },
    /// Record the payment of a pending or confirmed order
    Pay {
        id: String,
        /// The payment's id
        #[arg(long)]
        payment: String,
        #[command(flatten)]
        time: Time,
    },
    /// Hand a paid order to a carrier
    Ship {
        id: String,
        /// The carrier's tracking number
        #[arg(long)]
        tracking: String,
        #[command(flatten)]
        time: Time,
    },
    /// Record that a shipped order has arrived
    Deliver {
        id: String,
        #[command(flatten)]
        time: Time,
    },
    /// Cancel an order that is not shipped yet
    Cancel {
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        time: Time,
    },
    /// Print an order as the read model has it
    Show {
        id: String,
        #[command(flatten)]
        freshness: Freshness,
    },
    /// Print the events of an order
    History {
        id: String,
    },
    /// Print a page of a user's orders, or of those of a status, newest first
    List(List),
    Import(OrdersImport),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["user", "status"]).required(true).multiple(true))]
struct List {
    /// Only this user's orders
    #[arg(long)]
    user: Option<String>,

    /// Only orders of this status: PENDING, CONFIRMED, PAID, SHIPPED, DELIVERED or CANCELLED
    #[arg(long)]
    status: Option<OrderStatus>,

    #[command(flatten)]
    paging: Paging,

    #[command(flatten)]
    freshness: Freshness,
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl Orders {
    pub fn run(self, place: &Place, out: &mut Output) -> Result<(), Failure> {
        let views = self.views;
        match self.command {
            OrdersCommand::Show { id, freshness } => show(&id, freshness, place, &views, out),
            OrdersCommand::History { id } => history::<Order>(&id, place, out),
            OrdersCommand::List(list) => list.run(place, &views, out),
            OrdersCommand::Import(import) => import.run(place, out),
            command => command.change(place, out),
        }
    }
}

impl OrdersCommand {
    /// What is asked of an order; `None` for those that only ask about orders.
    fn into_request(self) -> Option<OrderRequest> {
        let (order_id, time, action) = match self {
            OrdersCommand::Create { id, user: user_id, items, address: shipping_address, time } => {
                (id, time, OrderAction::Create { user_id, items, shipping_address })
            }
            OrdersCommand::AddItem { id, item, time } => (id, time, OrderAction::AddItem { item }),
            OrdersCommand::RemoveItem { id, product: product_id, time } => {
                (id, time, OrderAction::RemoveItem { product_id })
            }
            OrdersCommand::Confirm { id, time } => (id, time, OrderAction::Confirm),
            OrdersCommand::Pay { id, payment: payment_id, time } => (id, time, OrderAction::Pay { payment_id }),
            OrdersCommand::Ship { id, tracking: tracking_number, time } => {
                (id, time, OrderAction::Ship { tracking_number })
            }
            OrdersCommand::Deliver { id, time } => (id, time, OrderAction::Deliver),
            OrdersCommand::Cancel { id, reason, time } => (id, time, OrderAction::Cancel { reason }),
            OrdersCommand::Show { .. }
            | OrdersCommand::History { .. }
            | OrdersCommand::List(_)
            | OrdersCommand::Import(_) => return None,
        };
        Some(OrderRequest { order_id, at: time.at, action })
    }

    fn change(self, place: &Place, out: &mut Output) -> Result<(), Failure> {
        let Some(request) = self.into_request() else {
            return Ok(());
        };
        Order::stream(&request.order_id)?;
        let store = match request.action {
            OrderAction::Create { .. } => {
                // What is refused where there is nothing yet is refused everywhere, and makes no store.
                block_on(OrderService::new(Arc::new(MemoryStore::new()))?.handle(request.clone()))?;
                open::for_writing(place)?
            }
            _ => open::for_changing(place)?,
        };
        let orders = OrderService::new(store.shared())?;
        let receipt = block_on(orders.handle(request))?;
        out.acknowledge(&receipt)?;
        store.close();
        Ok(())
    }
}

impl List {
    fn run(self, place: &Place, views: &ViewsPlace, out: &mut Output) -> Result<(), Failure> {
        let page = self.paging.page()?;
        let store = open::for_reading(place)?;
        let views = views::fresh(&store, &views.open(place)?, Sample::Orders, self.freshness)?;
        let queries = OrderQueryHandler::new(views).into_bus()?;
        // What is there is as recent as was asked for.
        let consistency = Consistency::AsIs;
        let found = match (self.user, self.status) {
            (Some(user_id), status) => block_on(queries.ask(GetUserOrders { user_id, status, page, consistency }))?,
            (None, Some(status)) => block_on(queries.ask(GetOrdersByStatus { status, page, consistency }))?,
            (None, None) => return Err(Failure::BadInput("give a user, a status, or both".to_owned())),
        };
        out.line(&found)
    }
}

fn show(id: &str, freshness: Freshness, place: &Place, views: &ViewsPlace, out: &mut Output) -> Result<(), Failure> {
    let store = open::for_reading(place)?;
    let views = views::fresh(&store, &views.open(place)?, Sample::Orders, freshness)?;
    let queries = OrderQueryHandler::new(views).into_bus()?;
    match block_on(queries.ask(GetOrder { order_id: id.to_owned(), consistency: Consistency::AsIs }))? {
        Some(order) => out.line(&order),
        None => Err(ModelError::AggregateNotFound { id: id.to_owned() }.into()),
    }
}
