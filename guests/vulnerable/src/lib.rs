//! VULNERABLE ON PURPOSE: a shop that puts what it is asked for into its SQL as it came, for WASI 0.2. It exists so that
//! tests can show an injection that works, and that the same one is stopped before it runs. It never binds a parameter,
//! and nothing of it belongs into a real function.
//!
//! `?name=` in the query, or `name=` in a form: the items of that name, `no such item`, or 500 and what the database said.

use answer::parameter;
use gluesql_core::prelude::{Glue, Payload};
use gluesql_memory_storage::MemoryStorage;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};
use wasip2::io::streams::StreamError;

wasip2::http::proxy::export!(Shop);

struct Shop;

const TABLES: &str = "
    CREATE TABLE items (name TEXT, price INTEGER);
    INSERT INTO items VALUES ('lamp', 30), ('chair', 80), ('table', 200);
    CREATE TABLE staff (name TEXT, password TEXT);
    INSERT INTO staff VALUES ('ada', 'correct horse battery staple');
";

impl wasip2::exports::http::incoming_handler::Guest for Shop {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let asked = match request.method() {
            Method::Post => form(&request),
            _ => answer::target(&request).1,
        };
        let name = parameter(&asked.replace('+', " "), "name").unwrap_or_default();
        let (status, text) = match find(&name) {
            Ok(items) if items.is_empty() => (200, "no such item\n".to_owned()),
            Ok(items) => (200, items),
            Err(said) => (500, format!("the database says: {said}\n")),
        };
        answer::send(out, status, "text/plain", text.as_bytes());
    }
}

/// The hole: `name` becomes a part of the statement.
fn find(name: &str) -> Result<String, String> {
    let mut database = Glue::new(MemoryStorage::default());
    database.execute(TABLES).map_err(|error| error.to_string())?;
    let statement = format!("SELECT name, price FROM items WHERE name = '{name}'");
    let answers = database.execute(statement).map_err(|error| error.to_string())?;
    let mut text = String::new();
    for answer in answers {
        let Payload::Select { rows, .. } = answer else { continue };
        for row in rows {
            let cells: Vec<String> = row.into_iter().map(String::from).collect();
            text.push_str(&(cells.join(" costs ") + "\n"));
        }
    }
    Ok(text)
}

fn form(request: &IncomingRequest) -> String {
    let mut bytes = Vec::new();
    let incoming = request.consume().unwrap();
    let stream = incoming.stream().unwrap();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(StreamError::Closed) => return String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => panic!("the form broke off: {error}"),
        }
    }
}
