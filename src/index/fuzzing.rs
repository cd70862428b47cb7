//! What must be true of whatever the index's decoders make of any bytes.

use bytes::Bytes;

use super::{
    postings::{self, BLOCK, Postings},
    run::Run,
};
use crate::{
    layout::{Reader, SEAL_BYTES},
    version::Position,
};

/// A damaged run may say that it has billions of lists: so many are looked at.
const LISTS: usize = 100;

/// Opens a run for what it says it is, and asks it everything that a reader may ask.
pub(crate) fn run(bytes: &[u8]) {
    let mut fields = Reader::new(bytes.get(SEAL_BYTES..).unwrap_or_default());
    let (Some(store), Some(first), Some(last)) = (fields.array(), fields.u64(), fields.u64()) else { return };
    let (first, last) = (Position::new(first), Position::new(last));
    let map = Bytes::copy_from_slice(bytes);
    let Ok(run) = Run::read(&map, &store, first, last) else { return };
    let whole = run.check().is_ok();
    assert_eq!(run.events(), last.get() - first.get() + 1);
    for place in [0, run.events() / 2, run.events() - 1] {
        let position = first.plus(place);
        assert!(run.offsets(position).is_ok() || !whole);
        assert!(run.time(position).is_ok() || !whole);
    }
    let mut at = 0;
    for _ in 0..LISTS {
        let Ok(Some((hash, list))) = run.list_at(at) else { break };
        assert!(list.postings.end > at);
        at = list.postings.end;
        // It is found or not, as the filter and the order of the table say, or is an error.
        let _ = run.find(hash);
        if let Ok(postings) = run.postings(&list) {
            read(&postings);
        }
    }
}

pub(crate) fn postings(bytes: &[u8]) {
    let Some(postings) = Postings::new(bytes) else { return };
    let Some(positions) = read(&postings) else { return };
    assert_eq!(positions.len(), postings.len());
    if positions.is_sorted() {
        let mut again = Vec::new();
        postings::encode(&mut again, &positions);
        let again = Postings::new(&again).and_then(|postings| read(&postings));
        assert_eq!(again, Some(positions));
    }
}

/// All positions of a list; none when a block is not one.
fn read(postings: &Postings<'_>) -> Option<Vec<u32>> {
    let (mut all, mut block) = (Vec::new(), Vec::new());
    for number in 0..postings.blocks() {
        postings.block(number, &mut block)?;
        assert!((1..=BLOCK).contains(&block.len()) && block.is_sorted());
        for position in [block[0], block[block.len() - 1]] {
            assert!(postings.block_of(position) < postings.blocks());
        }
        all.extend_from_slice(&block);
    }
    Some(all)
}
