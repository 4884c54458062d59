//! The frame scanner against a naive reference, against tungstenite, and against a kept corpus.

#![expect(clippy::unwrap_used, reason = "what a check calls may fail the test")]

mod corpus;
mod reader;
mod reference;
mod splits;
mod tungstenite_verdict;
mod violations;
mod wire;

use proptest::test_runner::{Config, FileFailurePersistence};

/// Keeps the seeds of failures in the tree; `PROPTEST_CASES` asks for longer runs.
fn config() -> Config {
    Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "proptest-regressions/frames.txt",
        ))),
        ..Config::default()
    }
}

/// The same for tests that draw bytes: cheap cases, more of them.
fn fuzz_config() -> Config {
    let config = config();
    Config {
        cases: config.cases * 8,
        ..config
    }
}
