//! Which function answers a path: exact paths first, then the longest prefix. It never decides who may call.

use std::{collections::HashMap, sync::Arc};

use http::Method;
use model::Route;

/// No function answers there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteMiss {
    /// No route has this path.
    NoRoute,
    /// A route has this path, for these methods alone.
    Method(Vec<String>),
}

/// Two functions want the same path and method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is taken by the function `{by}`")]
pub(crate) struct RouteTaken {
    /// The path as the manifest has it.
    pub(crate) path: String,
    /// Whose it is.
    pub(crate) by: String,
}

/// The routes of one tenant. `T` is what a route leads to; a clone of it is handed out.
#[derive(Debug, Clone)]
pub(crate) struct RouteTable<T> {
    exact: HashMap<String, Vec<Entry<T>>>,
    prefix: HashMap<String, Vec<Entry<T>>>,
    longest_prefix_bytes: usize,
}

#[derive(Debug, Clone)]
struct Entry<T> {
    methods: Vec<String>,
    owner: Arc<str>,
    target: T,
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), prefix: HashMap::new(), longest_prefix_bytes: 0 }
    }
}

impl<T: Clone> RouteTable<T> {
    /// Adds the routes of one function.
    ///
    /// # Errors
    /// [`RouteTaken`] if another function has one of them; the table must be thrown away then.
    pub(crate) fn add(&mut self, owner: &str, routes: &[Route], target: &T) -> Result<(), RouteTaken> {
        let owner: Arc<str> = owner.into();
        for route in routes {
            let (map, path) = match route.path.strip_suffix("/...") {
                Some(prefix) => (&mut self.prefix, prefix),
                None => (&mut self.exact, route.path.as_str()),
            };
            let entries = map.entry(path.to_owned()).or_default();
            let clash = entries.iter().find(|e| e.owner != owner && overlap(&e.methods, &route.methods));
            if let Some(entry) = clash {
                return Err(RouteTaken { path: route.path.clone(), by: entry.owner.to_string() });
            }
            self.longest_prefix_bytes = self.longest_prefix_bytes.max(path.len());
            let (methods, owner, target) = (route.methods.clone(), owner.clone(), target.clone());
            entries.push(Entry { methods, owner, target });
        }
        Ok(())
    }

    /// Finds what answers `method` on `path` (no query).
    ///
    /// # Errors
    /// [`RouteMiss`], with the methods that the nearest route takes where only the method is wrong.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Result<T, RouteMiss> {
        let mut allowed = Vec::new();
        if let Some(target) = self.exact.get(path).and_then(|e| pick(e, method, &mut allowed)) {
            return Ok(target);
        }
        let mut rest = path;
        loop {
            if rest.len() <= self.longest_prefix_bytes
                && let Some(target) = self.prefix.get(rest).and_then(|e| pick(e, method, &mut allowed))
            {
                return Ok(target);
            }
            match rest.rfind('/') {
                Some(cut) => rest = rest.get(..cut).unwrap_or_default(),
                None => break,
            }
        }
        if allowed.is_empty() { Err(RouteMiss::NoRoute) } else { Err(RouteMiss::Method(allowed)) }
    }
}

fn pick<T: Clone>(entries: &[Entry<T>], method: &Method, allowed: &mut Vec<String>) -> Option<T> {
    let takes = |e: &&Entry<T>| e.methods.is_empty() || e.methods.iter().any(|m| m == method.as_str());
    let found = entries.iter().find(takes).map(|e| e.target.clone());
    if found.is_none() {
        allowed.extend(entries.iter().flat_map(|e| e.methods.iter().cloned()));
    }
    found
}

fn overlap(a: &[String], b: &[String]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|m| b.contains(m))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RouteTable<&'static str> {
        let route = |path: &str, methods: &[&str]| Route {
            methods: methods.iter().map(|m| (*m).into()).collect(),
            ..Route::of(path)
        };
        let mut table = RouteTable::default();
        table.add("a", &[route("/a/...", &[])], &"a").unwrap();
        table.add("deep", &[route("/a/b/...", &["GET"])], &"deep").unwrap();
        table.add("exact", &[route("/a/b", &["POST"])], &"exact").unwrap();
        table.add("post", &[route("/p", &["POST", "PUT"])], &"post").unwrap();
        table
    }

    fn check(method: &str, path: &str, expect: Result<&'static str, RouteMiss>) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(table().find(&method, path), expect, "{method} {path}");
    }

    #[test]
    fn finds_the_nearest() {
        check("GET", "/a", Ok("a"));
        check("GET", "/a/", Ok("a"));
        check("GET", "/a/x/y/z", Ok("a"));
        check("GET", "/a/b", Ok("deep"));
        check("POST", "/a/b", Ok("exact"));
        check("GET", "/a/b/c", Ok("deep"));
        check("POST", "/a/b/c", Ok("a"));
        check("PUT", "/p", Ok("post"));
    }

    #[test]
    fn misses() {
        check("GET", "/", Err(RouteMiss::NoRoute));
        check("GET", "/ab", Err(RouteMiss::NoRoute));
        check("GET", "/A", Err(RouteMiss::NoRoute));
        check("GET", "/p/x", Err(RouteMiss::NoRoute));
        check("GET", "/p", Err(RouteMiss::Method(vec!["POST".into(), "PUT".into()])));
    }

    #[test]
    fn a_path_has_one_owner() {
        let route = |path: &str, method: &str| Route { methods: vec![method.into()], ..Route::of(path) };
        assert_eq!(table().add("b", &[route("/a/...", "GET")], &"b").unwrap_err().by, "a");
        assert!(table().add("b", &[route("/p", "GET")], &"b").is_ok());
        assert!(table().add("b", &[route("/p", "PUT")], &"b").is_err());
    }
}
