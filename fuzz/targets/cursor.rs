#![no_main]

use factlog::fuzzing;
use factlog_fuzz::files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::cursor(bytes);
    fuzzing::cursor(&files::sealed(bytes));
});
