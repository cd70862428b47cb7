//! What must be true of whatever the log's decoders make of any bytes.

use bytes::Bytes;

use super::{
    manifest::Manifest,
    record::{self, HEADER_BYTES, Record},
    segment::SegmentHeader,
};
use crate::version::Position;

/// A record in these bytes, if it validates with this salt.
pub(crate) fn record(bytes: &Bytes, salt: u32) -> Option<Record> {
    let record = record::parse(bytes, salt).ok()?;
    let (head_end, end) = record.body;
    assert!(HEADER_BYTES <= head_end && head_end <= end && end <= record.footprint && record.footprint <= bytes.len());
    assert!(record.footprint.is_multiple_of(record::ALIGNMENT) && record.footprint < end + record::ALIGNMENT);
    assert!(record.header.proves_durable() <= record.header.position);
    assert!(record::parse(&bytes[..record.footprint - 1], salt).is_err(), "what is cut short is none");
    let elsewhere = Position::new(record.header.position.get() ^ 1);
    assert!(record::parse_at(bytes, salt, elsewhere).is_err(), "nor is one that belongs elsewhere");

    let mut again = vec![0; record.footprint];
    again[HEADER_BYTES..end].copy_from_slice(&bytes[HEADER_BYTES..end]);
    let body_checksum = record::body_checksum(&again[head_end..end]);
    let checksum = record::finish(&mut again[..end], salt, record.header, head_end - HEADER_BYTES, body_checksum);
    let parsed = record::parse(&again, salt);
    assert!(parsed.is_ok_and(|parsed| {
        (parsed.header, parsed.body, parsed.footprint, parsed.checksum)
            == (record.header, record.body, record.footprint, checksum)
    }));
    Some(record)
}

pub(crate) fn segment_header(bytes: &[u8]) {
    if let Ok(header) = SegmentHeader::decode(bytes) {
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    }
}

pub(crate) fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        let again = manifest.encode();
        assert_eq!(again.len(), bytes.len());
        assert_eq!(Manifest::decode(&again), Ok(manifest));
    }
}
