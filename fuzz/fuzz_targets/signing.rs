#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| task_inbox_properties::signing(data));
