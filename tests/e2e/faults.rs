//! Faults at every step of a move, while users draw: whatever breaks, the board ends with one owner, everybody is
//! served, and nothing that was acknowledged is lost, doubled or out of order.
//!
//! Each case has its own PostgreSQL database, two board servers, a gateway between meddlers, and users whose every
//! change the ledger follows. What it allows: a change that was neither acknowledged nor refused when a process died is
//! said again by its user.

mod case;
mod judgement;
mod stage;
mod strike;

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use handover_tests::matrix;
use tokio::sync::Mutex;

use case::Case;
use stage::Stage;

/// Cases that run side by side: most of their time they wait for deadlines.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn a_fault_at_any_step_leaves_one_owner_and_everybody_served() {
    let cases = matrix("fault x step of a move x crossing", Case::all(), Case::is_in_subset);
    let total = cases.len();
    let failed = Arc::new(Mutex::new(Vec::new()));
    stream::iter(cases)
        .for_each_concurrent(AT_ONCE, |case| {
            let failed = Arc::clone(&failed);
            async move {
                // A task of its own: one that panics does not take the others along.
                if tokio::spawn(check(case)).await.is_err() {
                    failed.lock().await.push(case.to_string());
                }
            }
        })
        .await;
    let failed = failed.lock().await;
    assert!(
        failed.is_empty(),
        "{} of {total} cases failed: {failed:#?}",
        failed.len()
    );
}

async fn check(case: Case) {
    let mut stage = Stage::set(case).await;
    strike::strike(&mut stage, case).await;
    judgement::judge(stage, case).await;
}
