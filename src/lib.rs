//! eigenflow.
