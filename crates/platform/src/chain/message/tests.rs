use cell::BodyStream;

use super::*;

fn body(pieces: &[&'static str]) -> BodyStream {
    let pieces: Vec<_> = pieces.iter().map(|p| Ok(Bytes::from_static(p.as_bytes()))).collect();
    Box::pin(stream::iter(pieces))
}

async fn read(body: RequestBody) -> Result<String, BodyBroken> {
    let mut text = String::new();
    match body {
        RequestBody::Full(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
        RequestBody::Stream(mut stream) => {
            while let Some(piece) = stream.next().await {
                text.push_str(std::str::from_utf8(&piece?).unwrap());
            }
        }
    }
    Ok(text)
}

fn sent(lines: &[(&str, &str)], pieces: &[&'static str]) -> (Parts, RequestBody) {
    let mut request = Request::post("http://ORDERS.function.internal:80/a?b=c");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    shaped(&"orders".parse().unwrap(), request.body(body(pieces)).unwrap())
}

#[tokio::test]
async fn a_request_is_to_the_one_host_and_says_nothing_of_the_node() {
    let (head, body) = sent(
        &[
            ("host", "admin.example.com"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("casemate-caller", "User::\"default/root\""),
            ("casemate-chain", "default/other@r1"),
            ("Casemate-Anything", "1"),
            ("x-own", "kept"),
        ],
        &["ab", "c"],
    );
    assert_eq!(head.uri, "http://orders.function.internal/a?b=c");
    let left: Vec<_> = head.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
    assert_eq!(left, ["host: orders.function.internal", "x-own: kept"]);
    assert_eq!(read(body).await.unwrap(), "abc");
    let (_, none) = sent(&[], &[]);
    assert!(matches!(none, RequestBody::Full(bytes) if bytes.is_empty()));
}

#[tokio::test]
async fn a_body_is_as_long_as_its_head_says() {
    for (length, pieces, whole) in [
        ("3", &["ab", "c"][..], true),
        ("0", &[], true),
        ("2", &["ab", "c"], false),
        ("4", &["ab", "c"], false),
        ("3", &[], false),
    ] {
        let (_, body) = sent(&[("content-length", length)], pieces);
        assert_eq!(read(body).await.is_ok(), whole, "{length} {pieces:?}");
    }
}

#[tokio::test]
async fn the_nodes_own_answers_are_text() {
    let answer = text(508, "it ends here");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (508, &HeaderValue::from_static("text/plain; charset=utf-8"))
    );
    assert_eq!(read(RequestBody::Stream(answer.into_body())).await.unwrap(), "it ends here\n");
}
