//! Pages that end with their bytes.

use factlog::{EventStore, ExpectedVersion, ReadStream, RecordedEvent, backend::postgres::PostgresOptions, block_on};

use crate::{
    postgres::Postgres,
    support::{LONG, append, event, events, stream},
};

#[test]
fn a_page_ends_with_the_event_that_reaches_its_bytes_and_the_one_connection_goes_on() {
    let address = Postgres::shared().database();
    let options = PostgresOptions::new(&address).unwrap().pool_size(1);
    let store = options.connect_time(LONG).request_time(LONG).connect().unwrap();
    let payload = |number: u8| vec![number; 1 << 20];
    for five in [0u8, 5, 10, 15] {
        let these = (five..five + 5).map(|number| event(payload(number))).collect();
        block_on(store.append(&stream("large"), ExpectedVersion::Any, these)).unwrap();
    }
    // The first is cut here, the second by the database.
    for _ in 0..2 {
        let page = block_on(store.read_stream(ReadStream::new(&stream("large")))).unwrap();
        let payloads: Vec<Vec<u8>> = page.iter().map(|event: &RecordedEvent| event.payload().to_vec()).collect();
        assert_eq!(payloads, (0..8).map(payload).collect::<Vec<_>>());
    }
    append(&store, "large", "last").unwrap();
    assert_eq!(events(&store, "large").len(), 21);
}
