//! See `jackfield_fuzz_entries::routes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jackfield_fuzz_entries::routes(data));
