//! Boards that are looked up, listed and moved.

use super::*;

#[tokio::test]
async fn one_board_is_found_and_moved() {
    let gateway = Gateway::start(2).await;
    let path = "/v1/boards/board%20000";
    let view: Value = gateway.get(path).await.json(200);
    let expected = json!({"board": "board 000", "server": "a", "generation": 1, "state": "settled", "sessions": 0});
    assert_eq!(view, expected);
    let report: MoveReport = gateway
        .post(&format!("{path}/move"), &json!({"to": "d"}))
        .await
        .json(200);
    assert_eq!((report.result.as_str(), report.server), ("moved", Some(name("d"))));
    let again = gateway.post(&format!("{path}/move"), &json!({"to": "d"})).await;
    again.refusal(ProblemType::BoardNotMovable, None);
    gateway.fleet.set_unready(&["c"]);
    let unready = gateway.post(&format!("{path}/move"), &json!({"to": "c"})).await;
    unready.refusal(ProblemType::TargetNotReady, Some("to"));
    let unknown = gateway.post(&format!("{path}/move"), &json!({"to": "x"})).await;
    unknown.refusal(ProblemType::UnknownReference, Some("to"));
    let other = gateway.get("/v1/boards/an%20other").await;
    let problem = other.refusal(ProblemType::UnknownBoard, None);
    assert_eq!(problem.detail, "no board \"an other\" was ever placed");
    gateway
        .get("/v1/boards/a%00b")
        .await
        .refusal(ProblemType::InvalidField, Some("id"));
    gateway
        .get("/v1/boards/a%2")
        .await
        .refusal(ProblemType::InvalidField, Some("id"));
    gateway
        .get("/v1/boards/%ff")
        .await
        .refusal(ProblemType::InvalidField, Some("id"));
    gateway
        .get("/v1/boards?server=x")
        .await
        .refusal(ProblemType::UnknownReference, Some("server"));
    gateway
        .get("/v1/boards?sever=a")
        .await
        .refusal(ProblemType::InvalidField, Some("sever"));
}

#[tokio::test]
async fn boards_are_read_page_by_page() {
    let gateway = Gateway::start(5).await;
    let mut path = "/v1/boards?limit=2".to_owned();
    let (mut sizes, mut seen) = (Vec::new(), Vec::new());
    loop {
        let page: BoardList = gateway.get(&path).await.json(200);
        sizes.push(page.boards.len());
        seen.extend(page.boards.into_iter().map(|view| view.board));
        let Some(next) = page.next else { break };
        path = format!("/v1/boards?limit=2&after={}", next.to_url_segment());
    }
    let all: BoardList = gateway.get("/v1/boards").await.json(200);
    let all: Vec<_> = all.boards.into_iter().map(|view| view.board).collect();
    assert_eq!((sizes, seen), (vec![2, 2, 1], all));
    let whole: Value = gateway.get("/v1/boards?limit=5").await.json(200);
    assert_eq!(whole.get("next"), None, "there is no more");
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=x", "limit"),
        ("after=%00", "after"),
        ("after=", "after"),
        ("limit=1&limit=2", "limit"),
        ("page=1", "page"),
    ] {
        let refused = gateway.get(&format!("/v1/boards?{query}")).await;
        refused.refusal(ProblemType::InvalidField, Some(field));
    }
}
