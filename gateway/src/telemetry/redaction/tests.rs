//! What is shown of request targets, and what is not.

use super::*;

fn shown(target: &str) -> String {
    Redaction::default().of(&target.parse().unwrap()).to_string()
}

#[test]
fn values_that_let_somebody_in_are_shown_nowhere() {
    let check = |target: &str, expected: &str| assert_eq!(shown(target), expected, "{target}");
    check("/b/7?token=s3cret", "/b/7?token=[redacted]");
    check(
        "/b/7?v=2&access_token=s3cret&x=1",
        "/b/7?v=2&access_token=[redacted]&x=1",
    );
    check("/b/7?authToken=s3cret", "/b/7?authToken=[redacted]");
    check("/b/7?X-Amz-Signature=s3cret", "/b/7?X-Amz-Signature=[redacted]");
    check("/b/7?KEY=s3cret&apikey=s3cret", "/b/7?KEY=[redacted]&apikey=[redacted]");
    check(
        "/b/7?token[0]=s3cret&token2=s3cret",
        "/b/7?token[0]=[redacted]&token2=[redacted]",
    );
    check("/b/7?session_id=s3cret", "/b/7?session_id=[redacted]");
    check("/b/7?sessionId=s3cret", "/b/7?sessionId=[redacted]");
    check("/socket.io/?EIO=4&sid=s3cret", "/socket.io/?EIO=4&sid=[redacted]");
    check("/b/7?%74oken=s3cret", "/b/7?%74oken=[redacted]");
    check("/b/7?to%6Ben=a=b", "/b/7?to%6Ben=[redacted]");
    // Whether `;` parts or belongs to the value is the server's to say: neither reading may show any of it.
    check("/b/7?v=2;token=s3cret", "/b/7?v=2;token=[redacted]");
    check("/b/7?token=s3;cret&v=2", "/b/7?token=[redacted]&v=2");
}

#[test]
fn a_name_that_is_meant_may_have_numbers_and_more_words_about_it() {
    let check = |name: &str| {
        assert_eq!(
            shown(&format!("/b/7?{name}=s3cret&v=2")),
            format!("/b/7?{name}=[redacted]&v=2")
        );
    };
    for name in [
        "token2",
        "accesstoken2",
        "x-api-key-1",
        "xapikey1",
        "XAPIKEY_2",
        "api_key_value",
        "mykey2",
        "tokens",
        "tokenId",
        "sessionid",
        "JSESSIONID",
        "PHPSESSID",
        "oauth_2",
        "passwords[]",
        "2otp",
        "otp%32",
    ] {
        check(name);
    }
    let redaction = Redaction::new(["api_key", "pin"]);
    let shown = redaction
        .of(&"/?x-api-key-1=s3cret&roomPin2=s3cret&spinner=1".parse().unwrap())
        .to_string();
    assert_eq!(shown, "/?x-api-key-1=[redacted]&roomPin2=[redacted]&spinner=1");
}

#[test]
fn a_value_that_has_a_parameter_that_is_meant_is_not_shown() {
    let check = |target: &str, expected: &str| assert_eq!(shown(target), expected, "{target}");
    let once = "https%3A%2F%2Fx%2F%3Fv%3D2%26token%3Dabc";
    check(&format!("/b/7?next={once}&v=2"), "/b/7?next=[redacted]&v=2");
    let twice = once.replace('%', "%25");
    check(&format!("/b/7?next={twice}"), "/b/7?next=[redacted]");
    let thrice = twice.replace('%', "%25");
    check(&format!("/b/7?next={thrice}"), "/b/7?next=[redacted]");
    check(
        &format!("/b/7?next={}&v=2", thrice.replace('%', "%2525")),
        "/b/7?next=[redacted]&v=2",
    );
    check("/b/7?next=https://x/?token=abc&v=2", "/b/7?next=[redacted]&v=2");
    check("/b/7?next=https://x/?token=abc;def", "/b/7?next=[redacted]");
    check("/b/7?next=%2Fcallback%23access_token%3Dabc", "/b/7?next=[redacted]");
    check("/b/7?next=%2Fx%3Bsid%3Dabc", "/b/7?next=[redacted]");
    check("/b/7?auth%5Btoken%5D=abc", "/b/7?auth%5Btoken%5D=[redacted]");
    check(
        "/b/7?q=%7B%22v%22%3A2%2C%22token%22%20%3A%22abc%22%7D",
        "/b/7?q=[redacted]",
    );
    check("/b/7?next=https%3A%2F%2Fann%3As3cret%40x%2F", "/b/7?next=[redacted]");
    check(&format!("/b/7?{once}"), "/b/7?[redacted]");
    check(&format!("/b/7?{once}=1"), "/b/7?[redacted]");
    check(&format!("/go/{once}/ws?v=2"), "/go/[redacted]/ws?v=2");
    check("/b/7;jsessionid=abc/ws", "/b/7;jsessionid=[redacted]/ws");
}

#[test]
fn everything_else_is_shown_as_it_came() {
    for target in [
        "/",
        "/b/7",
        "/b/7?",
        "/b/7?board=7&v=2",
        "/b/7?author=ann&encoding=gzip&design=1&inside=2&keyboard=us&codec=vp8",
        "/b/7?next=https%3A%2F%2Fx%2Fann%3Fv%3D2%26at%3D17%253A00&by=ann@x",
        "/b;v=2/7?q=key:7",
        "/b/7?token",
        "/b/7?a=b=c&&;d;=e",
        "/b/t%C3%BCr?q=%5B%5D",
        "/b/eyJ?x=eyJhIjoxfQ",
    ] {
        assert_eq!(shown(target), target);
    }
}

#[test]
fn what_looks_like_a_json_web_token_is_shown_nowhere() {
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.s3-cr_et";
    let check = |target: &str, expected: &str| assert_eq!(shown(&target.replace("JWT", token)), expected, "{target}");
    check("/b/7?JWT", "/b/7?[redacted]");
    check("/b/JWT/ws?x=JWT&y=JWT", "/b/[redacted]/ws?x=[redacted]&y=[redacted]");
    check("/b/7?JWT=1", "/b/7?[redacted]=1");
    check("/b/7?q=Bearer%20JWT", "/b/7?q=Bearer%20[redacted]");
    check("/b/7?next=%2Fb%3Fx%3DJWT", "/b/7?next=%2Fb%3Fx%3D[redacted]");
    check("/b/v1.JWT/ws", "/b/v1.[redacted]/ws");
}

#[test]
fn the_authority_of_an_absolute_target_is_left_out() {
    assert_eq!(shown("http://ann:s3cret@h:80/b/7?x=1"), "/b/7?x=1");
    assert_eq!(shown("h:80"), "");
}

#[test]
fn a_target_that_is_a_flood_is_cut() {
    let text = shown(&format!("/{}?token=s3cret", "ü".repeat(3000)));
    assert!(text.len() <= SHOWN_BYTES_MAX + '…'.len_utf8(), "{}", text.len());
    assert!(text.ends_with("ü…"));
    let exact = format!("/{}", "a".repeat(SHOWN_BYTES_MAX - 1));
    assert_eq!(shown(&exact), exact);
    assert!(!shown(&format!("/{}?token=s3cret", "a".repeat(SHOWN_BYTES_MAX - 10))).contains("s3"));
}

#[test]
fn the_names_are_the_operators_to_choose() {
    let redaction = Redaction::new(["Room-Pin", "--"]);
    let shown = redaction
        .of(&"/b/7?roompin=1&room_pin=2&token=3".parse().unwrap())
        .to_string();
    assert_eq!(shown, "/b/7?roompin=[redacted]&room_pin=[redacted]&token=3");
}
