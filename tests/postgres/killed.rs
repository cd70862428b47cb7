//! A server that is killed in the middle of appends, and started again.

use crate::{disturbed::disturbed, postgres::Postgres, support::patient};

#[test]
fn what_was_acknowledged_is_there_once_after_the_server_was_killed_in_the_middle_of_appends() {
    let server = Postgres::new();
    let kill = || {
        server.kill();
        server.start();
    };
    disturbed(&patient(&server.database()), vec![Box::new(kill), Box::new(kill), Box::new(kill)]);
}
