//! What the targets share. What they know of the files they have from docs/format.md: a fuzzer does not guess checksums, so
//! each decoder gets the bytes as they come, and again with checksums that fit.

pub mod files;
pub mod ground;
pub mod model;
