//! The decoders, for fuzzing: each takes any bytes, and asserts what must be true of whatever it makes of them. Not part of
//! the crate as it is published: compiled for tests and with `--cfg fuzzing` only.
//!
//! What is accepted is encoded and decoded again, and must be the same; what is not is an error and never a panic.

/// A record of the log behind the four bytes of its segment's salt, and the event in it.
pub fn record(bytes: &[u8]) {
    crate::store::fuzzing::record(bytes);
}

/// The first page of a segment.
pub fn segment_header(bytes: &[u8]) {
    crate::log::fuzzing::segment_header(bytes);
}

/// A manifest.
pub fn manifest(bytes: &[u8]) {
    crate::log::fuzzing::manifest(bytes);
}

/// A run of the index, with everything that is looked up in one.
pub fn run(bytes: &[u8]) {
    crate::index::fuzzing::run(bytes);
}

/// A list of positions in a run.
pub fn postings(bytes: &[u8]) {
    crate::index::fuzzing::postings(bytes);
}

/// The file of a snapshot.
pub fn snapshot(bytes: &[u8]) {
    crate::store::fuzzing::snapshot(bytes);
}

/// The file of a cursor.
pub fn cursor(bytes: &[u8]) {
    crate::store::fuzzing::cursor(bytes);
}

/// Frames of the protocol: the first two bytes and the rest are also taken for the kind and body of one.
#[cfg(all(feature = "server", feature = "client"))]
pub fn frame(bytes: &[u8]) {
    crate::protocol::fuzzing::frames(bytes);
    if let Some((kind, body)) = bytes.split_first_chunk() {
        let (kind, body) = (u16::from_le_bytes(*kind), bytes::Bytes::copy_from_slice(body));
        crate::protocol::fuzzing::body(crate::protocol::Received { request: 1, kind, body });
    }
}

/// A whole session with a server of this store: what a client sends behind a byte that says how. To be driven by a tokio runtime with time.
#[cfg(all(feature = "server", feature = "client"))]
pub async fn session(store: &crate::store::Store, bytes: &[u8]) {
    crate::server::fuzzing::session(store, bytes).await;
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    type Door = fn(&[u8]);

    /// Each target of `fuzz` that is a decoder, and its doors.
    const TARGETS: &[(&str, &[Door])] = &[
        ("record", &[super::record]),
        ("segment", &[super::segment_header]),
        ("manifest", &[super::manifest]),
        ("run", &[super::run, super::postings]),
        ("snapshot", &[super::snapshot]),
        ("cursor", &[super::cursor]),
        #[cfg(all(feature = "server", feature = "client"))]
        ("frame", &[super::frame]),
    ];

    /// The seeds, and whatever once made a decoder fall.
    #[test]
    fn every_decoder_stands_what_is_kept_for_fuzzing_whole_cut_and_flipped() {
        for (target, doors) in TARGETS {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
            let mut inputs = 0;
            for entry in fs::read_dir(corpus).unwrap() {
                let bytes = fs::read(entry.unwrap().path()).unwrap();
                inputs += 1;
                for door in *doors {
                    door(&bytes);
                    for at in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
                        door(&bytes[..at]);
                        let mut flipped = bytes.clone();
                        flipped[at] ^= 0x55;
                        door(&flipped);
                    }
                }
            }
            assert!(inputs > 0, "{target} has no seed");
        }
    }

    #[cfg(all(feature = "server", feature = "client"))]
    #[test]
    fn a_session_stands_what_is_kept_for_fuzzing_whole_and_cut() {
        let directory = tempfile::TempDir::new().unwrap();
        let store = crate::Store::open(directory.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/session");
        let mut inputs = 0;
        for entry in fs::read_dir(corpus).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            inputs += 1;
            for how in 0..8 {
                let input = [&[how], &bytes[1..]].concat();
                runtime.block_on(super::session(&store, &input));
                runtime.block_on(super::session(&store, &input[..1 + (input.len() - 1) * 2 / 3]));
            }
        }
        assert!(inputs > 0 && store.last_position() > crate::Position::START, "nothing was appended");
    }
}
