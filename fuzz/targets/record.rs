#![no_main]

use factlog::fuzzing;
use factlog_fuzz::files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::record(bytes);
    if let Some((salt, record)) = bytes.split_first_chunk() {
        let record = files::checked_record(record, u32::from_le_bytes(*salt));
        fuzzing::record(&[&salt[..], &record].concat());
    }
});
