use super::*;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn at() -> BusinessTime {
    "2018-08-15T10:10:18Z".parse().unwrap()
}

fn item(product: &str, quantity: i64, price: &str) -> NewItem {
    NewItem { product_id: product.into(), product_name: "Thing".into(), quantity, unit_price: money(price) }
}

fn create(items: Vec<NewItem>) -> OrderCommand {
    let shipping_address = ShippingAddress {
        street: "123 Main St".into(),
        city: "Seoul".into(),
        state: "Seoul".into(),
        zip_code: "01234".into(),
        country: "South Korea".into(),
    };
    OrderCommand::CreateOrder { order_id: "1".into(), user_id: "u".into(), items, shipping_address, at: at() }
}

fn add(item: NewItem) -> OrderCommand {
    OrderCommand::AddOrderItem { order_id: "1".into(), item, at: at() }
}

fn remove(product: &str) -> OrderCommand {
    OrderCommand::RemoveOrderItem { order_id: "1".into(), product_id: product.into(), at: at() }
}

fn confirm() -> OrderCommand {
    OrderCommand::ConfirmOrder { order_id: "1".into(), at: at() }
}

fn pay() -> OrderCommand {
    OrderCommand::CompletePayment { order_id: "1".into(), payment_id: "p".into(), at: at() }
}

fn ship() -> OrderCommand {
    OrderCommand::StartShipping { order_id: "1".into(), tracking_number: "t".into(), at: at() }
}

fn deliver() -> OrderCommand {
    OrderCommand::CompleteDelivery { order_id: "1".into(), at: at() }
}

fn cancel() -> OrderCommand {
    OrderCommand::CancelOrder { order_id: "1".into(), reason: "changed my mind".into(), at: at() }
}

/// The order after these commands, each of which must be accepted.
fn order_after(commands: &[OrderCommand]) -> Order {
    let mut order = Order::default();
    for command in commands {
        let event = order.decide(command).unwrap();
        order.apply(&event);
        let sum = Money::total(order.items().iter().map(|item| item.total_price));
        assert_eq!(sum, Some(order.total_amount()), "the total agrees with the items after {event:?}");
    }
    order
}

fn placed() -> OrderCommand {
    create(vec![item("a", 2, "29.99"), item("b", 1, "10")])
}

/// Each status with the commands that lead to it.
fn lives() -> [(OrderStatus, Vec<OrderCommand>); 6] {
    [
        (OrderStatus::Pending, vec![placed()]),
        (OrderStatus::Confirmed, vec![placed(), confirm()]),
        (OrderStatus::Paid, vec![placed(), pay()]),
        (OrderStatus::Shipped, vec![placed(), pay(), ship()]),
        (OrderStatus::Delivered, vec![placed(), pay(), ship(), deliver()]),
        (OrderStatus::Cancelled, vec![placed(), cancel()]),
    ]
}

/// Checks that a command is accepted in exactly these statuses, and refused with this message in the others.
fn accepted_only_in(statuses: &[OrderStatus], command: &OrderCommand, message: &str) {
    for (status, commands) in lives() {
        let order = order_after(&commands);
        assert_eq!(order.status(), status);
        match order.decide(command) {
            Ok(_) => assert!(statuses.contains(&status), "{command:?} in {status}"),
            Err(refusal) => {
                assert!(!statuses.contains(&status), "{command:?} in {status}: {refusal}");
                assert_eq!(refusal.to_string(), message, "in {status}");
            }
        }
    }
}

fn refusal(order: &Order, command: &OrderCommand) -> String {
    order.decide(command).unwrap_err().to_string()
}

#[test]
fn a_created_order_is_pending_and_totals_its_items() {
    let order = order_after(&[placed()]);
    assert_eq!(order.user_id(), Some("u"));
    assert_eq!(order.total_amount(), money("69.98"));
    assert_eq!(order.items()[0].total_price, money("59.98"));
    assert_eq!(order.shipping_address().unwrap().zip_code, "01234");
}

#[test]
fn an_order_is_created_once_and_with_items() {
    assert_eq!(refusal(&order_after(&[placed()]), &placed()), "Order already exists");
    assert_eq!(refusal(&Order::default(), &create(vec![])), "Order must have at least one item");
}

#[test]
fn items_change_only_while_the_order_is_pending() {
    let pending = [OrderStatus::Pending];
    accepted_only_in(&pending, &add(item("c", 1, "1")), "Cannot add items to non-pending order");
    accepted_only_in(&pending, &remove("a"), "Cannot remove items from non-pending order");
    let order = order_after(&[placed(), add(item("c", 3, "0.10"))]);
    assert_eq!(order.total_amount(), money("70.28"));
}

#[test]
fn confirmation_freezes_a_pending_order() {
    accepted_only_in(&[OrderStatus::Pending], &confirm(), "Only pending orders can be confirmed");
}

#[test]
fn payment_is_for_pending_and_confirmed_orders() {
    let message = "Payment can only be completed for pending orders";
    accepted_only_in(&[OrderStatus::Pending, OrderStatus::Confirmed], &pay(), message);
    assert_eq!(order_after(&[placed(), confirm(), pay()]).payment_id(), Some("p"));
}

#[test]
fn shipping_is_for_paid_orders() {
    accepted_only_in(&[OrderStatus::Paid], &ship(), "Shipping can only be started for paid orders");
    assert_eq!(order_after(&[placed(), pay(), ship()]).tracking_number(), Some("t"));
}

#[test]
fn delivery_is_for_shipped_orders() {
    accepted_only_in(&[OrderStatus::Shipped], &deliver(), "Delivery can only be completed for shipped orders");
}

#[test]
fn a_shipped_or_cancelled_order_is_not_cancelled() {
    for (status, commands) in lives() {
        let order = order_after(&commands);
        let expected = match status {
            OrderStatus::Shipped | OrderStatus::Delivered => Some("Cannot cancel shipped or delivered orders"),
            OrderStatus::Cancelled => Some("Order is already cancelled"),
            _ => None,
        };
        assert_eq!(order.decide(&cancel()).err().map(|refusal| refusal.to_string()).as_deref(), expected);
    }
    let cancelled = order_after(&[placed(), cancel()]);
    assert_eq!(cancelled.cancellation(), Some((at(), "changed my mind")));
}

#[test]
fn removing_a_product_removes_every_line_of_it_and_the_total_agrees() {
    let order = order_after(&[placed(), add(item("a", 1, "5")), remove("a")]);
    assert_eq!(order.items().len(), 1);
    assert_eq!(order.total_amount(), money("10"));
    assert_eq!(refusal(&order, &remove("a")), "Item not found in order");
}

#[test]
fn the_last_item_is_not_removed_however_many_lines_it_has() {
    let order = order_after(&[create(vec![item("a", 1, "1")]), add(item("a", 2, "1"))]);
    assert_eq!(refusal(&order, &remove("a")), "Order must have at least one item");
}

#[test]
fn quantities_below_1_and_negative_prices_are_refused() {
    let order = order_after(&[placed()]);
    for quantity in [0, -1, i64::MIN] {
        assert_eq!(refusal(&order, &add(item("c", quantity, "1"))), "Quantity must be at least 1");
        assert_eq!(refusal(&Order::default(), &create(vec![item("c", quantity, "1")])), "Quantity must be at least 1");
    }
    assert_eq!(refusal(&order, &add(item("c", 1, "-0.01"))), "Unit price must not be negative");
    assert!(order.decide(&add(item("free", 1, "0"))).is_ok());
}

#[test]
fn a_quantity_price_or_total_of_more_than_15_digits_is_refused() {
    let message = "Quantities and amounts must have at most 15 digits";
    let order = order_after(&[create(vec![item("a", 1, "9999999999999.99")])]);
    assert_eq!(refusal(&order, &add(item("b", 1, "0.02"))), message);
    assert_eq!(refusal(&order, &add(item("b", 1_000_000_000_000_000, "0"))), message);
    assert_eq!(refusal(&order, &add(item("b", i64::MAX, "999999999999999"))), message);
    assert_eq!(order_after(&[placed(), add(item("b", 999_999_999_999_999, "0"))]).total_amount(), money("69.98"));
}

#[test]
fn statuses_are_read_as_they_are_written() {
    for status in OrderStatus::ALL {
        assert_eq!(status.to_string().parse(), Ok(status));
        assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
    }
    assert_eq!("paid".parse(), Ok(OrderStatus::Paid));
    let unknown = "SENT".parse::<OrderStatus>().unwrap_err().to_string();
    assert!(unknown.contains("`SENT`") && OrderStatus::ALL.iter().all(|status| unknown.contains(status.as_str())));
}
