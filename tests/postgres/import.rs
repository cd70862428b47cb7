//! The import of orders while the server is killed, and the network is lost.

use std::time::Duration;

use crate::{importing::imported_alike, network::Network, postgres::Postgres, proxy::Proxied, support::patient};

#[test]
fn an_import_goes_on_when_the_server_is_killed_and_makes_the_same_streams_as_one_into_a_directory() {
    let server = Postgres::new();
    let address = server.database();
    let kill = || {
        server.kill();
        server.start();
    };
    imported_alike(&patient(&address), &address, &mut [Box::new(kill), Box::new(kill)]);
}

#[test]
fn an_import_goes_on_when_the_network_is_cut_silent_and_loses_answers() {
    let server = Postgres::shared();
    let address = server.database();
    let proxied = Proxied::new(&address, server);
    let mut losses: Vec<Box<dyn FnMut()>> = Vec::new();
    for network in [Network::Cut, Network::Silent, Network::LosesAll] {
        let proxied = &proxied;
        losses.push(Box::new(move || proxied.network.lose(network, Duration::from_secs(1))));
    }
    imported_alike(&patient(&address), &proxied.address, &mut losses);
}
