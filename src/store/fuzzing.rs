//! What must be true of whatever the store's decoders make of any bytes.

use bytes::Bytes;

use super::{cursor_file::CursorFile, recorded, snapshot_file::SnapshotFile};
use crate::{
    event::{EventType, RecordedEvent, StreamName},
    log,
};

/// A record behind the four bytes of its segment's salt, and the event in it.
pub(crate) fn record(bytes: &[u8]) {
    let Some((salt, bytes)) = bytes.split_first_chunk() else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    let Some(read) = log::fuzzing::record(&bytes, u32::from_le_bytes(*salt)) else { return };
    let mut event = RecordedEvent::none();
    if recorded::decode_into(&read, &mut event).is_err() {
        return;
    }
    let (stream, event_type) = (event.stream(), event.event_type());
    assert_eq!(event.position(), read.header().position);
    assert_eq!(StreamName::new(stream.as_str()), Ok(stream.clone()));
    assert_eq!(EventType::new(event_type.as_str()), Ok(event_type.clone()));
    assert!(event.is_of(&stream) && event.is_a(&event_type) && event.is_of_category(stream.category()));
    let parts = [stream.as_bytes(), event_type.as_bytes(), &event.metadata(), &event.payload()].concat();
    assert_eq!(parts, bytes[read.body()], "no byte of the body is lost");
}

pub(crate) fn snapshot(bytes: &[u8]) {
    if let Ok(file) = SnapshotFile::decode(bytes.to_vec()) {
        let again = file.encode();
        assert_eq!(again.len(), bytes.len());
        assert_eq!(SnapshotFile::decode(again), Ok(file));
    }
}

pub(crate) fn cursor(bytes: &[u8]) {
    if let Ok(file) = CursorFile::decode(bytes) {
        let again = file.encode();
        assert_eq!(again.len(), bytes.len());
        assert_eq!(CursorFile::decode(&again), Ok(file));
    }
}
