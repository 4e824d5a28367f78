use super::*;

fn check(method: &str, path: &str, expect: Result<Operation, &str>) {
    let endpoints = table::endpoints();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    match (find(&endpoints, &method, path), expect) {
        (Ok((endpoint, _)), Ok(operation)) => assert_eq!(endpoint.operation, operation, "{path}"),
        (Err(problem), Err(code)) => assert_eq!(problem.code(), code, "{method} {path}"),
        (found, expect) => panic!("{method} {path}: {:?}, not {expect:?}", found.map(|(e, _)| e.operation)),
    }
}

#[test]
fn paths_find_their_endpoint() {
    check("GET", "/healthz", Ok(Operation::Health));
    check("GET", "/v1/tenants", Ok(Operation::ListTenants));
    check("GET", "/v1/tenants/default/functions/hello", Ok(Operation::Inspect));
    check("DELETE", "/v1/tenants/default/functions/hello", Ok(Operation::Remove));
    check("POST", "/v1/tenants/t/functions/f/invoke", Ok(Operation::Invoke));
    check("DELETE", "/v1/tenants/t/tokens/t123", Ok(Operation::RevokeToken));
    check("POST", "/v1/tenants/t/login", Ok(Operation::LogIn));
    check("DELETE", "/v1/session", Ok(Operation::LogOut));
    check("DELETE", "/v1/tenants/t/sessions/t123", Ok(Operation::RevokeSession));
}

#[test]
fn others_find_none() {
    check("GET", "/", Err("no-endpoint"));
    check("GET", "/healthz/", Err("no-endpoint"));
    check("GET", "/v1/tenants//functions", Err("no-endpoint"));
    check("GET", "/v1/tenants/t/functions/f/x", Err("no-endpoint"));
    check("POST", "/healthz", Err("method-not-allowed"));
    check("PATCH", "/v1/tenants/t/functions/f", Err("method-not-allowed"));
}

#[test]
fn the_document_has_every_endpoint_and_nothing_else() {
    let endpoints = table::endpoints();
    let document = openapi::document(&endpoints, "1");
    let paths = document["paths"].as_object().unwrap();
    let said: usize = paths.values().map(|p| p.as_object().unwrap().len()).sum();
    assert_eq!(said, endpoints.len(), "no two endpoints are the same");
    for endpoint in &endpoints {
        let operation = &paths[endpoint.path][endpoint.method.as_str().to_ascii_lowercase()];
        let parameters = operation["parameters"].as_array().map_or(0, Vec::len);
        let named = openapi::path_parameters(endpoint.path).count() + endpoint.query.len();
        assert_eq!(parameters, named, "{}", endpoint.path);
        assert_eq!(operation["security"].is_array(), endpoint.open, "{}", endpoint.path);
    }
    assert_refs_resolve(&document, &document);
}

fn assert_refs_resolve(part: &serde_json::Value, document: &serde_json::Value) {
    match part {
        serde_json::Value::Object(object) => {
            if let Some(name) = object.get("$ref").and_then(|r| r.as_str()) {
                let pointer = name.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{name} leads nowhere");
            }
            object.values().for_each(|value| assert_refs_resolve(value, document));
        }
        serde_json::Value::Array(array) => {
            array.iter().for_each(|value| assert_refs_resolve(value, document))
        }
        _ => {}
    }
}

#[test]
fn only_health_the_document_and_logging_in_are_open() {
    let open: Vec<&str> = table::endpoints().iter().filter(|e| e.open).map(|e| e.path).collect();
    let login = "/v1/tenants/{tenant}/login";
    let failed = "/v1/tenants/{tenant}/login/failed";
    assert_eq!(open, ["/healthz", "/readyz", "/openapi.json", login, login, failed]);
}

#[test]
fn a_query_holds_what_the_endpoint_knows() {
    let endpoints = table::endpoints();
    let check = |path: &str, query: &str, expect: bool| {
        let (endpoint, _) = find(&endpoints, &Method::GET, path).unwrap();
        assert_eq!(known(endpoint, query).is_ok(), expect, "{path}?{query}");
    };
    check("/v1/tenants/t/records", "", true);
    check("/v1/tenants/t/records", "limit=5&function=x", true);
    check("/v1/tenants/t/records", "limits=5", false);
    check("/v1/tenants/t/records", "limit=5&limit=6", false);
    check("/v1/tenants/t/records", "limit=5&x", false);
    check("/v1/node/records", "limit=5", true);
    check("/v1/node/records", "function=x", false);
    check("/healthz", "x", false);
}
