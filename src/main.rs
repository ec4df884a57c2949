//! The command line of eigenflow.
fn main() {}
