//! JSON that has one meaning: no member twice, and bounds on depth and number (RFC 8259 §4, RFC 7515 §4). It
//! never repairs.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::bounds::{JSON_DEPTH_MAX, JSON_VALUES_MAX};

/// Why a text is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// No JSON, or no object.
    Malformed,
    /// A member twice in one object.
    Duplicate,
    /// Too deep, or too many values.
    Bounds,
}

/// Reads one object with the bounds of tokens.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    object_within(bytes, JSON_VALUES_MAX)
}

/// Reads one object of at most so many values.
pub(crate) fn object_within(bytes: &[u8], values_max: usize) -> Result<Map<String, Value>, JsonError> {
    let mut walk = Walk { left: values_max, found: None };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { walk: &mut walk, depth: 0 }.deserialize(&mut reader);
    match (read.and_then(|value| reader.end().map(|()| value)), walk.found) {
        (_, Some(found)) => Err(found),
        (Ok(Value::Object(object)), None) => Ok(object),
        _ => Err(JsonError::Malformed),
    }
}

/// What is counted on the way, and the first thing that was found wrong beyond the grammar.
struct Walk {
    left: usize,
    found: Option<JsonError>,
}

struct Strict<'a> {
    walk: &'a mut Walk,
    depth: usize,
}

impl Strict<'_> {
    fn stop<E: Error>(&mut self, why: JsonError) -> E {
        self.walk.found.get_or_insert(why);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(mut self, from: D) -> Result<Value, D::Error> {
        match self.walk.left.checked_sub(1) {
            Some(left) => self.walk.left = left,
            None => return Err(self.stop(JsonError::Bounds)),
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("refused"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let depth = self.depth + 1;
        if depth > JSON_DEPTH_MAX {
            return Err(self.stop(JsonError::Bounds));
        }
        let mut found = Vec::new();
        while let Some(value) = list.next_element_seed(Strict { walk: self.walk, depth })? {
            found.push(value);
        }
        Ok(Value::Array(found))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let depth = self.depth + 1;
        if depth > JSON_DEPTH_MAX {
            return Err(self.stop(JsonError::Bounds));
        }
        let mut found = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if found.contains_key(&name) {
                return Err(self.stop(JsonError::Duplicate));
            }
            let value = members.next_value_seed(Strict { walk: self.walk, depth })?;
            found.insert(name, value);
        }
        Ok(Value::Object(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&str, JsonError>) {
        let got = object(text.as_bytes()).map(|found| Value::Object(found).to_string());
        assert_eq!(got.as_deref().map_err(|e| *e), expect, "{text}");
    }

    #[test]
    fn one_meaning_or_none() {
        check(r#"{"a":[1,-2,0.5,"x",null,true,{}]}"#, Ok(r#"{"a":[1,-2,0.5,"x",null,true,{}]}"#));
        check(r#" {"a" : 1} "#, Ok(r#"{"a":1}"#));
        check(r#"{"a":1,"a":2}"#, Err(JsonError::Duplicate));
        check(r#"{"a":1,"\u0061":2}"#, Err(JsonError::Duplicate));
        check(r#"{"x":[{"a":1,"b":{"c":1,"c":1}}]}"#, Err(JsonError::Duplicate));
        for text in ["", "[]", "1", "null", "{", r#"{"a":1}x"#, r#"{"a":1}{"#, r#"{"a":NaN}"#, "{'a':1}"] {
            check(text, Err(JsonError::Malformed));
        }
        check(r#"{"a":1,}"#, Err(JsonError::Malformed));
        check(r#"{"a":1e999}"#, Err(JsonError::Malformed));
        check(r#"{"a":"\ud800"}"#, Err(JsonError::Malformed));
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(JsonError::Malformed));
    }

    #[test]
    fn bounds_hold() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(object(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        check(&nested(JSON_DEPTH_MAX + 1), Err(JsonError::Bounds));
        check(&nested(5_000), Err(JsonError::Bounds));
        let wide = |count: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(count - 1));
        assert!(object(wide(JSON_VALUES_MAX - 2).as_bytes()).is_ok());
        check(&wide(JSON_VALUES_MAX - 1), Err(JsonError::Bounds));
    }
}
