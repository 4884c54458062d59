//! A board that takes seconds to load: nobody waits for that, for the hold begins when the target has loaded.

use std::sync::Arc;
use std::time::Duration;

use handover_tests::{Call, Program, Route, Trick, eventually};
use tokio::sync::Notify;

use super::meddled::{Meddled, SOON};

#[tokio::test]
async fn users_go_on_at_the_source_while_the_target_loads() {
    let stage = Meddled::start_unlike(
        Program::Reference,
        |source| source,
        |target| target.load_time(Duration::from_secs(5)),
        &Route::whiteboard(),
    )
    .await;
    let mut ann = stage.join("ann").await;
    let mut bob = stage.join("bob").await;
    let go_on = Arc::new(Notify::new());
    let told = Arc::clone(&go_on);
    // The gateway learns that the target has loaded only after the last of these changes is acknowledged.
    let hook = move || async move { told.notified().await };
    stage.target.control.lay(Call::Prepare, Trick::after(hook));
    let (report, ()) = tokio::join!(stage.switch(), async {
        eventually("the target loads", SOON, || async {
            !stage.target.control.seen_of(Call::Prepare).is_empty()
        })
        .await;
        for _ in 0..20 {
            let (of_ann, of_bob) = (ann.draw().await, bob.draw().await);
            ann.saved(of_ann).await;
            bob.saved(of_bob).await;
        }
        assert_eq!(stage.source.control.seen_of(Call::Freeze), []);
        assert_eq!(stage.target.control.seen_of(Call::Prepare)[0].status, None);
        go_on.notify_one();
    });
    assert_eq!((report.switched, report.fallen_back), (2, 0), "{report:?}");
    let (of_ann, of_bob) = (ann.draw().await, bob.draw().await);
    ann.saved(of_ann).await;
    bob.saved(of_bob).await;
    let changes = stage.database.changes("b").await;
    let generations: Vec<i64> = changes.iter().map(|change| change.generation).collect();
    assert_eq!(generations, [vec![1; 40], vec![2; 2]].concat());
    assert_eq!(stage.database.repeats("b").await, 0);
}
