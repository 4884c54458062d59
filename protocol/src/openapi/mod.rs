//! The OpenAPI 3.1 documents of the control contract and of the admin API, made from the very types that are sent.
//!
//! They are kept in the tree as `protocol/openapi/contract.json` and `admin.json`; a test finds them out of date, and
//! `BLESS=1` writes them anew.

mod admin;
mod call;
mod contract;

pub use admin::admin;
pub use contract::contract;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;
    use utoipa::openapi::OpenApi;

    use crate::admin::{Problem, ProblemType};
    use crate::contract::ContractProblemType;

    fn check_kept(file: &str, document: &OpenApi) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi").join(file);
        let made = document.to_pretty_json().unwrap() + "\n";
        assert!(
            !made.contains("[`"),
            "openapi/{file} has a link that leads nowhere outside of the code"
        );
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == made,
            "openapi/{file} is out of date: run the test with BLESS=1 and review the difference"
        );
    }

    /// Lists every `$ref` in a document.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        if let Some(target) = value.get("$ref").and_then(Value::as_str) {
            found.insert(target.to_owned());
        }
        if let Some(fields) = value.as_object() {
            fields.values().for_each(|field| references(field, found));
        }
        if let Some(items) = value.as_array() {
            items.iter().for_each(|item| references(item, found));
        }
    }

    #[test]
    fn the_documents_in_the_tree_are_those_of_the_code() {
        check_kept("contract.json", &super::contract());
        check_kept("admin.json", &super::admin());
    }

    #[test]
    fn every_reference_is_defined_and_every_definition_used() {
        for document in [super::contract(), super::admin()] {
            let json = serde_json::to_value(&document).unwrap();
            let mut used = BTreeSet::new();
            references(&json, &mut used);
            let schemas = json["components"]["schemas"].as_object().unwrap();
            let defined: BTreeSet<_> = schemas
                .keys()
                .map(|name| format!("#/components/schemas/{name}"))
                .collect();
            assert_eq!(used, defined);
        }
    }

    #[test]
    fn every_problem_is_listed_under_its_status() {
        let contract = serde_json::to_value(super::contract()).unwrap();
        for kind in ContractProblemType::ALL {
            let name = serde_json::to_value(kind).unwrap();
            assert!(is_listed(&contract, kind.status(), name.as_str().unwrap()), "{name}");
        }
        let admin = serde_json::to_value(super::admin()).unwrap();
        for kind in ProblemType::ALL {
            let name = serde_json::to_value(Problem::new(kind, "").kind).unwrap();
            // An unknown path has no operation that it could stand in, and another method neither.
            let has_no_operation = matches!(kind, ProblemType::UnknownPath | ProblemType::MethodNotAllowed);
            assert!(
                has_no_operation || is_listed(&admin, kind.status(), name.as_str().unwrap()),
                "{name}"
            );
        }
    }

    fn is_listed(document: &Value, status: u16, name: &str) -> bool {
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
        let answers = operations.map(|operation| &operation["responses"][status.to_string()]["description"]);
        let mut descriptions = answers.filter_map(Value::as_str);
        descriptions.any(|description| description.contains(&format!("`{name}`")))
    }
}
