//! The OpenAPI document (3.1), made of the table of endpoints. It never adds one.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::table::{Endpoint, Shape};
use crate::api;

/// The document of these endpoints.
pub(super) fn document(endpoints: &[Endpoint], version: &str) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, &mut generator);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let _problem = generator.subschema_for::<api::Problem>();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Casemate control API",
            "version": version,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "An API token" },
                "session": {
                    "type": "http",
                    "scheme": "dpop",
                    "description": "A session, with a proof of its key in the header `DPoP` (RFC 9449)",
                },
            },
        },
        "security": [{ "token": [] }, { "session": [] }],
    })
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".into(), format!("{:?}", endpoint.operation).into());
    operation.insert("summary".into(), endpoint.summary.into());
    if endpoint.open {
        operation.insert("security".into(), json!([]));
    }
    let parameters: Vec<Value> = path_parameters(endpoint.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .chain(endpoint.query.iter().map(|(name, what)| {
            json!({ "name": name, "in": "query", "description": what, "schema": { "type": "string" } })
        }))
        .collect();
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if let Some(content) = content(endpoint.request, generator) {
        operation.insert("requestBody".into(), json!({ "required": true, "content": content }));
    }
    let mut answer = json!({ "description": endpoint.summary });
    if let (Some(content), Some(answer)) = (content(endpoint.answer, generator), answer.as_object_mut()) {
        answer.insert("content".into(), content);
    }
    let problem = json!({
        "description": "A problem document (RFC 9457)",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let mut responses = Map::new();
    for status in [Some(endpoint.status), endpoint.also].into_iter().flatten() {
        responses.insert(status.to_string(), answer.clone());
    }
    responses.insert("default".into(), problem);
    operation.insert("responses".into(), responses.into());
    Value::Object(operation)
}

/// The names between braces.
pub(super) fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn content(shape: Shape, generator: &mut SchemaGenerator) -> Option<Value> {
    let (media, schema) = match shape {
        Shape::Nothing => return None,
        Shape::Json(make) => ("application/json", make(generator).to_value()),
        Shape::Lines(make) => ("application/x-ndjson", make(generator).to_value()),
        Shape::Text(media) => (media, json!({ "type": "string" })),
        Shape::Bytes => ("application/wasm", json!({})),
    };
    Some(json!({ (media): { "schema": schema } }))
}
