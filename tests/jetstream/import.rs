//! The import of orders while servers are killed and silent, and the network is lost.

use std::{cell::RefCell, thread, time::Duration};

use crate::{
    importing::imported_alike,
    nats::{self, Nats},
    network::Proxied,
    proxy::Network,
};

#[test]
fn an_import_into_a_server_that_is_alone_makes_the_same_streams_as_one_into_a_directory() {
    let nats = Nats::alone();
    imported_alike(&nats.open("orders"), &nats.address("orders"), &mut []);
}

#[test]
fn an_import_goes_on_when_leaders_are_killed_or_silent_and_when_all_servers_are_killed() {
    let nats = RefCell::new(Nats::cluster());
    let leader = || nats.borrow().leader("orders");
    let kill = || {
        let leader = leader();
        nats.borrow_mut().nodes[leader].kill();
    };
    let silence = || {
        let leader = leader();
        nats.borrow().nodes[leader].pause();
        thread::sleep(Duration::from_secs(10));
        nats.borrow().nodes[leader].resume();
    };
    let all = || {
        nats.borrow_mut().nodes.iter_mut().for_each(nats::Node::kill);
        nats.borrow_mut().restart();
    };
    let (store, address) = (nats.borrow().open("orders"), nats.borrow().address("orders"));
    imported_alike(&store, &address, &mut [Box::new(kill), Box::new(all), Box::new(silence)]);
}

#[test]
fn an_import_goes_on_when_the_network_is_cut_silent_and_loses_answers() {
    let nats = Nats::alone();
    let proxied = Proxied::new(&nats, "orders");
    let mut losses: Vec<Box<dyn FnMut()>> = Vec::new();
    for network in [Network::Cut, Network::Silent, Network::LosesAll] {
        let proxied = &proxied;
        losses.push(Box::new(move || proxied.network.lose(network, Duration::from_secs(1))));
    }
    imported_alike(&nats.open("orders"), &proxied.address, &mut losses);
}
