//! Every maximum of the store, in one place.
//!
//! They bound what one append can make the store hold in memory and what a reader must be ready to receive. All are
//! checked before anything is written. A format field is always wide enough for its maximum: the assertions below
//! tie the two together.

/// Longest stream name, in bytes of UTF-8.
pub const STREAM_NAME_BYTES: usize = 512;

/// Longest event type, in bytes of UTF-8.
pub const EVENT_TYPE_BYTES: usize = 256;

/// Largest event in bytes: stream name, type, metadata and payload together.
pub const EVENT_BYTES: usize = 16 << 20;

/// Most events in one append.
pub const APPEND_EVENTS: usize = 10_000;

/// Largest append in bytes: the sum of its events, counted as for [`EVENT_BYTES`].
pub const APPEND_BYTES: usize = 32 << 20;

/// How many of a stream's newest events are looked at for an append that was made before, when it expects no particular
/// version.
pub const RECENT_EVENTS: usize = 1_000;

/// Full size of a segment file in bytes, unless the options say otherwise.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Size of a store's first segment file in bytes; each next one is twice as large, up to the full size.
pub const FIRST_SEGMENT_BYTES: u64 = 256 << 10;

/// Largest state of a snapshot, in bytes.
pub const SNAPSHOT_BYTES: usize = 64 << 20;

/// Longest name of a cursor, in bytes.
pub const CURSOR_NAME_BYTES: usize = 128;

/// How many snapshots of a stream are kept, unless the options say otherwise: one more than is used, should the newest be damaged.
pub const SNAPSHOTS_KEPT: usize = 2;

/// Longest frame of the protocol between client and server, in bytes: the largest snapshot or append, and what stands around it.
pub const FRAME_BYTES: usize = SNAPSHOT_BYTES + (16 << 20);

const _: () = assert!(FRAME_BYTES <= u32::MAX as usize && APPEND_BYTES + APPEND_EVENTS * 64 <= FRAME_BYTES);
const _: () = assert!(STREAM_NAME_BYTES <= u16::MAX as usize);
const _: () = assert!(EVENT_TYPE_BYTES <= u16::MAX as usize);
const _: () = assert!(APPEND_EVENTS <= u16::MAX as usize);
const _: () = assert!(APPEND_BYTES <= u32::MAX as usize && EVENT_BYTES <= APPEND_BYTES);
const _: () = assert!(SNAPSHOT_BYTES <= u32::MAX as usize);
const _: () = assert!(CURSOR_NAME_BYTES <= u16::MAX as usize);
