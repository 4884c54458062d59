//! Which servers a drain empties, and which it fills.

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::id::{ReleaseName, ServerName};

/// Some servers by name, or all of one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerSet {
    /// These servers.
    Servers(Vec<ServerName>),
    /// Every configured server that runs this release.
    Release(ReleaseName),
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
