//! The command line of eigenflow.

fn main() -> std::process::ExitCode {
    eigenflow::cli::main()
}
