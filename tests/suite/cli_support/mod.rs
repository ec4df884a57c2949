//! The real binary in a folder of its own.

use eigenflow::data::formats::{Location, RawArray};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder in which commands run.
pub struct Room(tempfile::TempDir);

impl Room {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eigenflow"));
        command.current_dir(self.0.path()).args(args.split_whitespace());
        command
    }

    /// Runs a command; whatever comes of it, no temporary file is left and nothing panics.
    pub fn run(&self, args: &str) -> Output {
        let output = self.command(args).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!error.contains("panicked"), "{args}: {error}");
        for entry in std::fs::read_dir(self.0.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with(".eigenflow-"), "{args} left {name}");
        }
        output
    }

    /// Standard output of a command that succeeds.
    pub fn ok(&self, args: &str) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The JSON object that a command prints.
    pub fn json(&self, args: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{args} --json"))).unwrap()
    }

    /// The one message of a command that fails with this exit code and prints no result.
    pub fn fails(&self, args: &str, code: i32) -> String {
        let output = self.run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args}: {error}");
        assert!(output.stdout.is_empty(), "{args}: {:?}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(error.matches("eigenflow: ").count(), 1, "{args}: {error}");
        error
    }

    /// That a command fails with this code, and its message has all the parts.
    pub fn says(&self, args: &str, code: i32, parts: &[&str]) {
        let error = self.fails(args, code);
        for part in parts {
            assert!(error.contains(part), "{args}: '{part}' is not in: {error}");
        }
    }

    /// An array of a result file.
    pub fn array(&self, name: &str) -> RawArray {
        Location::of(self.path(name).to_str().unwrap()).unwrap().array().unwrap()
    }

    /// A room with a small trained model `m.safetensors` of three columns.
    pub fn with_model() -> Self {
        let room = Self::new();
        room.ok(&format!(
            "train builtin:s-curve?n=300 --out m.safetensors {TINY} --epochs 2 --preprocess standardize"
        ));
        room
    }
}

/// A flow that trains in no time.
pub const TINY: &str = "--layers 2 --hidden 6 --output-affine";
