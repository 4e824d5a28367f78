//! Each path once. It never calls one twice.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    Wrong,
    line::{Line, get},
    order::To,
};

/// Milliseconds of each call, in the order of the paths.
pub(crate) async fn each_once(to: &To, paths: &[String]) -> Result<Value, Wrong> {
    let mut line = Line::open(to, 0, b"http/1.1").await?;
    let mut took = Vec::with_capacity(paths.len());
    for path in paths {
        let request = get(to, path, 0);
        let start = Instant::now();
        let answer = line.call(&request, u64::MAX).await?;
        took.push(start.elapsed().as_secs_f64() * 1e3);
        if answer.status != 200 {
            return Err(format!("{path}: status {}", answer.status).into());
        }
    }
    Ok(json!({ "ms": took }))
}
