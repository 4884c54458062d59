//! What a document is put together from: calls, their answers, and the schemas that these need.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, Paths,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Components, ComponentsBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Content, HeaderBuilder, InfoBuilder, ObjectBuilder, OneOfBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required,
    ResponseBuilder, SecurityRequirement,
};

/// A document that is being put together.
#[derive(Default)]
pub(super) struct Document {
    paths: Paths,
    schemas: BTreeMap<String, RefOr<Schema>>,
}

/// One call that is being put together.
pub(super) struct Call<'a> {
    document: &'a mut Document,
    operation: OperationBuilder,
}

impl Document {
    /// Adds one call; its path's parameters are described by their names.
    pub(super) fn call(
        &mut self,
        method: HttpMethod,
        path: &str,
        id: &str,
        summary: &str,
        describe: impl FnOnce(Call<'_>) -> OperationBuilder,
    ) {
        let operation = OperationBuilder::new().operation_id(Some(id)).summary(Some(summary));
        let operation: Operation = describe(Call {
            document: self,
            operation,
        })
        .build();
        match self.paths.paths.get_mut(path) {
            Some(item) => item.merge_operations(PathItem::new(method, operation)),
            None => {
                self.paths
                    .paths
                    .insert(path.to_owned(), PathItem::new(method, operation));
            }
        }
    }

    /// Returns the document.
    pub(super) fn finish(self, title: &str, description: &str) -> OpenApi {
        let info = InfoBuilder::new()
            .title(title)
            .version("1")
            .description(Some(description))
            .build();
        OpenApiBuilder::new()
            .info(info)
            .paths(self.paths)
            .components(Some(components(self.schemas)))
            .build()
    }

    /// Returns the document, every call of which takes a bearer token.
    pub(super) fn finish_with_token(self, title: &str, description: &str) -> OpenApi {
        let mut document = self.finish(title, description);
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        if let Some(components) = &mut document.components {
            components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
        }
        document.security = Some(vec![SecurityRequirement::new(TOKEN, [""; 0])]);
        document
    }

    /// Returns the document, every call of which takes a token or a client certificate where the gateway asks for one.
    pub(super) fn finish_for_operators(self, title: &str, description: &str) -> OpenApi {
        let mut document = self.finish(title, description);
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("One of `[[admin.tokens]]`."))
            .build();
        let certificate = SecurityScheme::MutualTls {
            description: Some("A client certificate that `[[admin.client_certificates]]` names.".to_owned()),
            deprecated: None,
            extensions: None,
        };
        if let Some(components) = &mut document.components {
            components.add_security_scheme(OPERATORS_TOKEN, SecurityScheme::Http(token));
            components.add_security_scheme(OPERATORS_CERTIFICATE, certificate);
        }
        let nothing = SecurityRequirement::default();
        let shown = [OPERATORS_TOKEN, OPERATORS_CERTIFICATE].map(|name| SecurityRequirement::new(name, [""; 0]));
        document.security = Some([nothing].into_iter().chain(shown).collect());
        document
    }

    fn reference<T: ToSchema>(&mut self) -> Ref {
        let mut needed = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut needed);
        self.schemas.extend(needed);
        Ref::from_schema_name(T::name())
    }
}

impl Call<'_> {
    /// Adds a segment of the path.
    pub(super) fn segment<T: ToSchema>(self, name: &str, description: &str) -> Self {
        self.parameter::<T>(name, description, ParameterIn::Path, Required::True)
    }

    /// Adds a parameter of the query.
    pub(super) fn query<T: ToSchema>(self, name: &str, description: &str, required: Required) -> Self {
        self.parameter::<T>(name, description, ParameterIn::Query, required)
    }

    /// Adds a parameter of the query that is a number.
    pub(super) fn query_number(mut self, name: &str, description: &str, maximum: Option<u32>) -> Self {
        let schema = ObjectBuilder::new()
            .schema_type(SchemaType::from(Type::Integer))
            .minimum(Some(1))
            .maximum(maximum)
            .build();
        let parameter: Parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .description(Some(description))
            .schema(Some(RefOr::T(Schema::from(schema))))
            .build();
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// Adds a parameter of the query that is a close code which may stand in a frame.
    pub(super) fn query_close_code(mut self, name: &str, description: &str) -> Self {
        let ranges = [(1000, 1003), (1007, 1014), (3000, 4999)];
        let schema = ranges.into_iter().fold(OneOfBuilder::new(), |schema, (least, most)| {
            let range = ObjectBuilder::new()
                .schema_type(SchemaType::from(Type::Integer))
                .minimum(Some(least))
                .maximum(Some(most));
            schema.item(range.build())
        });
        let parameter: Parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .description(Some(description))
            .schema(Some(RefOr::T(Schema::from(schema.build()))))
            .build();
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// Adds a header of the request that may be left out.
    pub(super) fn header(mut self, name: &str, description: &str) -> Self {
        let schema = ObjectBuilder::new()
            .schema_type(SchemaType::from(Type::String))
            .min_length(Some(1))
            .max_length(Some(255))
            .pattern(Some("^[!#-~]+$"))
            .build();
        let parameter: Parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .description(Some(description))
            .schema(Some(RefOr::T(Schema::from(schema))))
            .build();
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// Adds an answer that is a stream of events.
    pub(super) fn event_stream<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        let content = Content::new(Some(self.document.reference::<T>()));
        let response = ResponseBuilder::new()
            .description(description)
            .content(EVENT_STREAM, content)
            .build();
        self.operation = self.operation.response(status.to_string(), response);
        self
    }

    /// Sets what is sent.
    pub(super) fn body<T: ToSchema>(mut self) -> Self {
        let content = Content::new(Some(self.document.reference::<T>()));
        let body = RequestBodyBuilder::new()
            .content(JSON, content)
            .required(Some(Required::True))
            .build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// Adds an answer with a body.
    pub(super) fn answer<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        let content = Content::new(Some(self.document.reference::<T>()));
        let response = ResponseBuilder::new()
            .description(description)
            .content(JSON, content)
            .build();
        self.operation = self.operation.response(status.to_string(), response);
        self
    }

    /// Adds an answer with a body that says where to look next.
    pub(super) fn answer_with_location<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        let content = Content::new(Some(self.document.reference::<T>()));
        let text = ObjectBuilder::new().schema_type(SchemaType::from(Type::String)).build();
        let location = HeaderBuilder::new()
            .schema(Some(Schema::from(text)))
            .description(Some("where its progress is told"))
            .build();
        let response = ResponseBuilder::new()
            .description(description)
            .header("Location", location)
            .content(JSON, content)
            .build();
        self.operation = self.operation.response(status.to_string(), response);
        self
    }

    /// Adds an answer without a body.
    pub(super) fn empty_answer(mut self, status: u16, description: &str) -> Self {
        let response = ResponseBuilder::new().description(description).build();
        self.operation = self.operation.response(status.to_string(), response);
        self
    }

    /// Adds refusals, each under its status.
    pub(super) fn refusals<T: ToSchema, K: Serialize>(mut self, kinds: impl IntoIterator<Item = (u16, K)>) -> Self {
        let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for (status, kind) in kinds {
            let name = serde_json::to_value(kind).expect("a problem's type serializes as its name");
            let name = name.as_str().unwrap_or_default();
            by_status.entry(status).or_default().push(format!("`{name}`"));
        }
        for (status, names) in by_status {
            let content = Content::new(Some(self.document.reference::<T>()));
            let response = ResponseBuilder::new()
                .description(names.join(", "))
                .content(PROBLEM, content)
                .build();
            self.operation = self.operation.response(status.to_string(), response);
        }
        self
    }

    /// Ends the description.
    pub(super) fn end(self) -> OperationBuilder {
        self.operation
    }

    fn parameter<T: ToSchema>(mut self, name: &str, description: &str, place: ParameterIn, required: Required) -> Self {
        let parameter: Parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(required)
            .description(Some(description))
            .schema(Some(self.document.reference::<T>()))
            .build();
        self.operation = self.operation.parameter(parameter);
        self
    }
}

fn components(schemas: BTreeMap<String, RefOr<Schema>>) -> Components {
    ComponentsBuilder::new().schemas_from_iter(schemas).build()
}

const TOKEN: &str = "control_token";
const OPERATORS_TOKEN: &str = "admin_token";
const OPERATORS_CERTIFICATE: &str = "client_certificate";
const EVENT_STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
