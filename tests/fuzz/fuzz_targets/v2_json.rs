//! See `jackfield_fuzz_entries::v2_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jackfield_fuzz_entries::v2_json(data));
