//! Which servers a drain empties, and which it fills.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::id::{ReleaseName, ServerName};

/// Some servers by name, or all of one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "Fields")]
pub enum ServerSet {
    /// These servers.
    Servers(Vec<ServerName>),
    /// Every configured server that runs this release.
    Release(ReleaseName),
}

/// What may be written, before it is known to be one of both.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `servers` or with `release`")]
struct Fields {
    #[serde(default, deserialize_with = "present")]
    servers: Option<Vec<ServerName>>,
    #[serde(default, deserialize_with = "present")]
    release: Option<ReleaseName>,
}

/// Reads a field that may be absent and not null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl TryFrom<Fields> for ServerSet {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        match (fields.servers, fields.release) {
            (Some(servers), None) => Ok(Self::Servers(servers)),
            (None, Some(release)) => Ok(Self::Release(release)),
            (Some(_), Some(_)) => Err("has both `servers` and `release`; give one of them"),
            (None, None) => Err("has neither `servers` nor `release`; give one of them"),
        }
    }
}

impl PartialSchema for ServerSet {
    /// As the derived one, but that nothing may stand beside the one field.
    fn schema() -> RefOr<Schema> {
        let only = |field: &str, description: &str, schema: RefOr<Schema>| {
            ObjectBuilder::new()
                .property(field, schema)
                .required(field)
                .description(Some(description))
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        };
        let name = RefOr::Ref(Ref::from_schema_name(ServerName::name()));
        let names = ArrayBuilder::new().items(name).min_items(Some(1)).build();
        let release = RefOr::Ref(Ref::from_schema_name(ReleaseName::name()));
        OneOfBuilder::new()
            .description(Some("Some servers by name, or all of one release."))
            .item(only("servers", "These servers.", RefOr::T(names.into())))
            .item(only("release", "Every server that runs this release.", release))
            .into()
    }
}

impl ToSchema for ServerSet {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((ServerName::name().into(), ServerName::schema()));
        schemas.push((ReleaseName::name().into(), ReleaseName::schema()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_one_of_both_and_says_so() {
        let check = |text: &str, expected: Result<ServerSet, &str>| {
            let read: Result<ServerSet, String> = serde_json::from_str(text).map_err(|error| error.to_string());
            match (read, expected) {
                (Ok(read), Ok(expected)) => {
                    assert_eq!(read, expected);
                    assert_eq!(
                        serde_json::to_string(&read).unwrap(),
                        text,
                        "it is written as it is read"
                    );
                }
                (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{text}: {error}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        };
        check(r#"{"release":"r1"}"#, Ok(ServerSet::Release("r1".parse().unwrap())));
        check(
            r#"{"servers":["a"]}"#,
            Ok(ServerSet::Servers(vec!["a".parse().unwrap()])),
        );
        check(r#"{"release":"r1","servers":["a"]}"#, Err("has both"));
        check("{}", Err("has neither"));
        check(r#"{"release":null}"#, Err("invalid type: null"));
        check(r#"{"servers":["a"],"release":null}"#, Err("invalid type: null"));
        check(r#"{"server":["a"]}"#, Err("unknown field `server`"));
        check(r#""r1""#, Err("invalid type: string"));
    }
}
