//! The tests of the whole system, as one program: each generic of the library is compiled once for all of them.
//!
//! `cargo test --test suite claims_linear` runs those of one file.

mod acceptance;
mod claims_dimension;
mod claims_fit;
mod claims_held_out;
mod claims_linear;
mod claims_local;
mod claims_stability;
mod cli_columns;
mod cli_commands;
mod cli_components;
mod cli_context;
mod cli_dimension;
mod cli_errors;
mod cli_import;
mod cli_mismatch;
mod cli_options;
mod cli_report;
mod cli_study_galaxies;
mod cli_study_images;
mod cli_support;
mod cli_train;
mod components;
mod data_external;
mod data_formats;
mod dimension;
mod flow_bases;
mod flow_conditional;
mod flow_dequantize;
mod flow_edges;
mod flow_estimates;
mod flow_fused;
mod flow_gradients;
mod flow_implicit;
mod flow_laws;
mod flow_numerics;
mod flow_presets;
mod flow_splines;
mod interop;
mod jacobian;
mod leading;
mod mnist;
mod signs;
mod stability;
mod zoo;
