//! The protocol's description is enough: a client in another language was written from it alone.

use std::process::Command;

use factlog::Position;

use crate::support::Served;

#[test]
fn a_client_written_from_the_description_appends_conflicts_reads_and_subscribes() {
    let served = Served::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/client.py");
    let (host, port) = (served.address.ip().to_string(), served.address.port().to_string());
    let ran = match Command::new("python3").args([script, &host, &port]).output() {
        Ok(ran) => ran,
        Err(error) => return println!("skipped: python3 cannot be run: {error}"),
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(ran.stdout, b"all is well\n");
    assert_eq!(served.store.last_position(), Position::new(5));
}
