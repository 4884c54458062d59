//! What a user hears, read without copying: thousands of `drawn` a second come to one process.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;

/// A message of a board server, as far as a virtual user looks into it. Fields that a kind does not have are absent.
#[derive(Debug, Deserialize)]
pub(super) struct Heard<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) user: Option<Text<'a>>,
    pub(super) seq: Option<u64>,
    pub(super) revision: Option<u64>,
    #[serde(default, borrow)]
    pub(super) color: Option<Text<'a>>,
    pub(super) points: Option<Vec<[f64; 2]>>,
    #[serde(borrow)]
    pub(super) changes: Option<Vec<HeardChange<'a>>>,
    #[serde(default, borrow)]
    pub(super) server: Option<Text<'a>>,
}

/// Text that is borrowed where it holds no escapes, also inside an `Option`, where serde does not see to it.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A change in a welcome.
#[derive(Debug, Deserialize)]
pub(super) struct HeardChange<'a> {
    #[serde(borrow)]
    pub(super) user: Cow<'a, str>,
    pub(super) seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_borrowed() {
        let heard: Heard<'_> = serde_json::from_str(
            r##"{"type":"drawn","user":"u1","seq":3,"revision":9,"color":"#fff","points":[[1,2],[3.5,4]]}"##,
        )
        .unwrap();
        assert_eq!(heard.kind, "drawn");
        assert!(matches!(heard.user, Some(Text(Cow::Borrowed("u1")))));
        assert_eq!(heard.points, Some(vec![[1.0, 2.0], [3.5, 4.0]]));
    }
}
