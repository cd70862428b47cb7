#![no_main]

use factlog::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::frame(bytes));
