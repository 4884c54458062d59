//! Control frames: more than a client may send end its session, those that its server has asked for do not.

use std::time::Duration;

use handover_tests::{Route, ScriptedOrigin};
use tokio::time::{interval, timeout};

use super::frames::{close_code, masked};
use super::{SOON, Stage, counted};

const MESSAGE: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'o', b'k'];

#[tokio::test]
async fn a_flood_of_pings_or_pongs_ends_its_session_and_no_other() {
    let stage = Stage::start().await;
    let mut ann = stage.session().await;
    stage.origin.head().await;
    for (number, (what, opcode)) in [("Pings", 0x89), ("Pongs", 0x8A)].into_iter().enumerate() {
        let mut bob = stage.session().await;
        bob.say(masked(opcode, b"").repeat(50_000)).await;
        assert_eq!(close_code(what, &mut bob).await, 1008, "{what}");
        counted(&stage, "control_frames_per_second_max", number as f64 + 1.0).await;
    }
    // As many as a second may bring, between the frames of a message as well.
    let pings = masked(0x89, b"").repeat(50);
    let message = [masked(0x01, b"o"), pings.clone(), masked(0x80, b"k"), pings].concat();
    ann.say(&message).await;
    assert_eq!(stage.origin.behind_head(message.len()).await, message);
    assert_eq!(stage.limit_hits("control_frames_per_second_max").await, 2.0);
}

#[tokio::test]
async fn a_flood_that_is_spread_over_many_packets_is_one() {
    let stage = Stage::with(&Route::whiteboard(), "\n[limits]\ncontrol_frames_per_second_max = 2\n").await;
    let mut client = stage.session().await;
    let flood = async {
        let mut ticks = interval(Duration::from_millis(20));
        while client.say(masked(0x89, b"x")).await {
            ticks.tick().await;
        }
    };
    timeout(SOON, flood).await.expect("it is ended");
    counted(&stage, "control_frames_per_second_max", 1.0).await;
}

#[tokio::test]
async fn a_flood_of_pings_is_one_also_where_the_server_answers_each() {
    let stage = Stage::start().await;
    let mut client = stage.session().await;
    let flood = async {
        let mut ticks = interval(Duration::from_millis(10));
        while client.say(masked(0x89, b"").repeat(10)).await {
            stage.origin.say_more([0x8A, 0].repeat(10));
            ticks.tick().await;
        }
    };
    timeout(SOON, flood).await.expect("it is ended");
    counted(&stage, "control_frames_per_second_max", 1.0).await;
}

#[tokio::test]
async fn pongs_that_a_server_has_asked_for_are_no_flood() {
    let stage = Stage::start().await;
    let pings = [0x89, 0].repeat(1000);
    stage
        .origin
        .will_answer([ScriptedOrigin::SWITCHING.as_bytes(), &pings].concat());
    let mut client = stage.session().await;
    assert_eq!(client.hear(pings.len()).await, pings);
    let answers = [&masked(0x8A, b"").repeat(1000)[..], MESSAGE].concat();
    client.say(&answers).await;
    assert_eq!(stage.origin.behind_head(answers.len()).await, answers);
    assert_eq!(stage.limit_hits("control_frames_per_second_max").await, 0.0);
}
