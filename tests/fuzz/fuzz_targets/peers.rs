//! See `jackfield_fuzz_entries::peers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jackfield_fuzz_entries::peers(data));
