//! What must be true of whatever the log's decoders make of any bytes.

use bytes::Bytes;

use super::{
    manifest::Manifest,
    record::{self, HEADER_BYTES, Read},
    segment::SegmentHeader,
};
use crate::version::Position;

/// A record in these bytes, if it validates with this salt.
pub(crate) fn record(bytes: &Bytes, salt: u32) -> Option<Read<'_>> {
    if let Some(field) = bytes.get(8..).and_then(<[u8]>::first_chunk) {
        let position = Position::new(u64::from_le_bytes(*field));
        let sound = record::sound_at(bytes, salt, position);
        assert_eq!(sound, record::parse_at(bytes, salt, position).ok(), "the fast way is another");
    }
    let record = record::parse(bytes, salt).ok()?;
    let read = Read::new(record, bytes, 0);
    let (header, body, footprint) = (read.header(), read.body(), record.footprint());
    assert!(HEADER_BYTES <= body.start && body.start <= body.end && body.end <= footprint && footprint <= bytes.len());
    assert!(footprint.is_multiple_of(record::ALIGNMENT) && footprint < body.end + record::ALIGNMENT);
    assert!(header.proves_durable() <= header.position);
    assert!(record::parse(&bytes[..footprint - 1], salt).is_err(), "what is cut short is none");
    let elsewhere = Position::new(header.position.get() ^ 1);
    assert!(record::parse_at(bytes, salt, elsewhere).is_err(), "nor is one that belongs elsewhere");

    let mut again = vec![0; footprint];
    again[HEADER_BYTES..body.end].copy_from_slice(&bytes[HEADER_BYTES..body.end]);
    let body_checksum = record::body_checksum(&again[body.clone()]);
    let checksum = record::finish(&mut again[..body.end], salt, header, body.start - HEADER_BYTES, body_checksum);
    assert_eq!(record::parse(&again, salt), Ok(record));
    let again = Bytes::from(again);
    let written = Read::new(record, &again, 0);
    assert_eq!((written.header(), written.body(), written.checksum()), (header, body, checksum));
    Some(read)
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
