#![no_main]

use factlog::fuzzing;
use factlog_fuzz::files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::manifest(bytes);
    fuzzing::manifest(&files::sealed(bytes));
});
