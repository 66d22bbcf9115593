//! See `jackfield_fuzz_entries::v2_cbor`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jackfield_fuzz_entries::v2_cbor(data));
