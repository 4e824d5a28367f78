//! What the function says, without HTTP: so `cargo test` tests it on any machine.

/// Greets the `name` of a query (`name=Ada&…`), or the world.
pub fn greet(query: &str) -> String {
    let name = query.split('&').find_map(|pair| pair.strip_prefix("name="));
    format!("Hello, {}!\n", name.filter(|name| !name.is_empty()).unwrap_or("world"))
}

#[cfg(test)]
mod tests {
    use super::greet;

    #[test]
    fn greets_whom_it_is_told_to() {
        assert_eq!(greet(""), "Hello, world!\n");
        assert_eq!(greet("name="), "Hello, world!\n");
        assert_eq!(greet("lang=en&name=Ada"), "Hello, Ada!\n");
    }
}
