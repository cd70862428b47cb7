#![no_main]

use factlog::fuzzing;
use factlog_fuzz::files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::run(bytes);
    fuzzing::run(&files::checked_run(bytes));
    fuzzing::postings(bytes);
});
