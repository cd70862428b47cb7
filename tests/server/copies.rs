//! What the server allocates to send: next to nothing, since payloads go from the map to the socket.

#![allow(unsafe_code, reason = "an allocator that counts")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

use factlog::{ExpectedVersion, Options, Position, ReadAll};
use tempfile::TempDir;

use crate::support::{Served, event, patient, stream};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that were allocated on threads that count.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

impl Counting {
    fn count(bytes: usize) {
        if COUNTS.try_with(Cell::get).unwrap_or_default() {
            ALLOCATED.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        Counting::count(bytes);
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[test]
fn less_than_a_tenth_of_what_is_sent_is_allocated() {
    const EVENTS: usize = 20_000;
    const BYTES: usize = 2_000;

    let directory = TempDir::new().unwrap();
    let store = Options::new().segment_bytes(1 << 20).open(directory.path()).unwrap();
    for batch in 0..EVENTS / 500 {
        let events = (0..500).map(|_| event(vec![b'x'; BYTES])).collect();
        store.append(&stream(&format!("s-{batch}")), ExpectedVersion::NoStream, events).unwrap();
    }
    // The segment that is being written to is not mapped.
    let sealed = ReadAll::after(Position::START).before(Position::new(EVENTS as u64 - 500));
    let begun = || COUNTS.set(true);
    let served = Served::store(store, directory, patient(), "127.0.0.1:0".parse().unwrap(), begun);
    let client = served.client();
    let allocated = |read: &mut dyn FnMut() -> usize| {
        // Once before, so that segments are mapped and buffers there.
        read();
        let before = ALLOCATED.load(Ordering::Relaxed);
        let sent = read();
        let allocated = ALLOCATED.load(Ordering::Relaxed) - before;
        assert!(sent > 0 && allocated > 0, "nothing was counted");
        assert!(allocated * 10 < sent as u64, "{allocated} bytes were allocated to send {sent}");
        println!("{allocated} bytes were allocated to send {sent}: {:.3}", allocated as f64 / sent as f64);
    };
    let sum = |events: &mut dyn Iterator<Item = factlog::Result<factlog::RecordedEvent>>| -> usize {
        events.map(|event| event.unwrap().payload().len()).sum()
    };
    allocated(&mut || sum(&mut client.read(sealed.clone())));
    allocated(&mut || (0..30).map(|batch| sum(&mut client.read(&stream(&format!("s-{batch}"))))).sum());
}
