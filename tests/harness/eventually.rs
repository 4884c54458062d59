//! Waiting for a condition instead of sleeping.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Waits until `condition` holds, asking every 10 ms.
///
/// # Panics
/// When it does not hold within `deadline`.
pub async fn eventually<F>(what: &str, deadline: Duration, mut condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < deadline, "not within {deadline:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until `attempt` gives a value, and returns it; the last refusal is shown when it never does.
///
/// # Panics
/// When there is none within `deadline`.
pub async fn eventually_some<T, E: Debug, F>(what: &str, deadline: Duration, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
{
    let started = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(refusal) => {
                assert!(
                    started.elapsed() < deadline,
                    "not within {deadline:?}: {what}: {refusal:?}"
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

const PAUSE: Duration = Duration::from_millis(10);
