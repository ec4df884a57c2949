//! A self-contained tape.
