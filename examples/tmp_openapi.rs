//! Temporary.
fn main() { println!("{}", task_inbox::http::openapi().to_pretty_json().unwrap()); }
