#![no_main]

use factlog::fuzzing;
use factlog_fuzz::files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::snapshot(bytes);
    fuzzing::snapshot(&files::sealed(bytes));
});
