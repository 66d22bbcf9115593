//! See `jackfield_fuzz_entries::v1_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jackfield_fuzz_entries::v1_json(data));
