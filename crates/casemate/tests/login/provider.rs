//! The provider as a process of a test's, and a browser that logs in there. They end with the test.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD as B64;
use futures_util::StreamExt;
use serde_json::Value;

use crate::support::CASEMATE;

/// Where `cargo xtask test` put the provider's package; none where it did not, and the test says what it skips.
fn package() -> Option<PathBuf> {
    let beside = Path::new(CASEMATE).parent()?.parent()?.join("tools/oidc");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/oidc");
    let module = "node_modules/oidc-provider/lib/index.js";
    let found = [beside, own].into_iter().map(|folder| folder.join(module)).find(|path| path.exists());
    let node = Command::new("node").arg("--version").output().is_ok_and(|done| done.status.success());
    if found.is_none() || !node {
        eprintln!("skipped: no oidc-provider, or no node; `cargo xtask test` fetches the one, with npm");
    }
    found.filter(|_| node)
}

/// A provider that runs.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    child: Child,
    /// It may say more.
    _said: BufReader<ChildStdout>,
}

impl Provider {
    /// Starts one, or none where there is no package.
    pub(crate) fn start() -> Option<Self> {
        let module = package()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/login/provider.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(format!("file://{}", module.canonicalize().unwrap().display()));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut said).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: `{said}`"));
        Some(Self { issuer: said["issuer"].as_str().unwrap().to_owned(), child, _said: lines })
    }

    /// A tenant's login by this provider.
    pub(crate) fn toml(&self, more: &str) -> String {
        format!(
            "[login]\nname = \"staff\"\nissuer = \"{}\"\nclient_id = \"casemate\"\nalgorithms = [\"ES256\"]\n{more}\n\
             [login.claims]\ngroups = \"groups\"\n\
             [[login.grants]]\ngroups = [\"operators\"]\nroles = [\"operator\"]\n\
             [[login.grants]]\ngroups = [\"developers\"]\nroles = [\"developer\"]\n",
            self.issuer
        )
    }

    /// What it gives `user` as `client`, asked by the test itself: an ID token with this nonce, and an access token.
    pub(crate) fn tokens(&self, client: &str, user: &str, nonce: &str) -> (String, String) {
        let (verifier, redirect) =
            ("a-verifier-of-forty-three-characters-at-least", "http://127.0.0.1:9/callback");
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
        let challenge = B64.encode(hash.as_ref());
        let url = format!(
            "{}/auth?response_type=code&client_id={client}&redirect_uri={redirect}&scope=openid&state=s&nonce={nonce}\
             &code_challenge={challenge}&code_challenge_method=S256",
            self.issuer
        );
        let back = Browser::default().log_in(&url, user);
        let code = back.split(['?', '&']).find_map(|pair| pair.strip_prefix("code=")).unwrap().to_owned();
        let form = format!(
            "grant_type=authorization_code&code={code}&client_id={client}&redirect_uri={redirect}\
             &code_verifier={verifier}"
        );
        let mut browser = Browser::default();
        let page = browser.send("POST", &format!("{}/token", self.issuer), &form);
        let found: Value = serde_json::from_str(&page.body).unwrap();
        let text = |name: &str| found[name].as_str().unwrap_or_else(|| panic!("{found}")).to_owned();
        // Nobody redeems a code twice.
        let again = browser.send("POST", &format!("{}/token", self.issuer), &form);
        assert!(again.status == 400 && again.body.contains("invalid_grant"), "{}", again.body);
        (text("id_token"), text("access_token"))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One answer, its redirect unfollowed.
pub(crate) struct Page {
    pub(crate) status: u16,
    location: Option<String>,
    pub(crate) body: String,
}

/// Enough of a browser: cookies, forms, redirects.
#[derive(Default)]
pub(crate) struct Browser(BTreeMap<String, String>);

impl Browser {
    /// One request.
    pub(crate) fn send(&mut self, method: &str, url: &str, form: &str) -> Page {
        let config = egress::ClientConfig { plain: true, ..egress::ClientConfig::default() };
        let client = egress::Client::new(&config).unwrap();
        let cookies: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = http::Request::builder()
            .method(method)
            .uri(url)
            .header("cookie", cookies.join("; "))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(form.to_owned()))
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (head, body) = runtime.block_on(async {
            let (head, mut stream) = client.call(request).await.unwrap().into_parts();
            let mut body = Vec::new();
            while let Some(piece) = stream.next().await {
                body.extend_from_slice(&piece.unwrap());
            }
            (head, String::from_utf8_lossy(&body).into_owned())
        });
        for cookie in head.headers.get_all("set-cookie") {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.0.insert(name.to_owned(), value.to_owned());
        }
        let location = head.headers.get("location").map(|place| place.to_str().unwrap().to_owned());
        Page { status: head.status.as_u16(), location, body }
    }

    /// Goes where a page leads, up to a form or to somewhere beyond the provider.
    fn follow(&mut self, mut page: Page, origin: &str) -> Result<Page, String> {
        while let Some(place) = page.location {
            let place = if place.starts_with('/') { format!("{origin}{place}") } else { place };
            if !place.starts_with(&format!("{origin}/")) {
                return Err(place);
            }
            page = self.send("GET", &place, "");
        }
        Ok(page)
    }

    /// Logs in and consents, until the provider sends the browser elsewhere: the address that it is sent to.
    pub(crate) fn log_in(&mut self, url: &str, user: &str) -> String {
        let origin = origin(url);
        let mut page = self.send("GET", url, "");
        for _ in 0..8 {
            page = match self.follow(page, &origin) {
                Err(elsewhere) => return elsewhere,
                Ok(page) => self.submit(&page, &origin, user, ""),
            };
        }
        panic!("the provider asks for ever: {}", page.body);
    }

    /// Types a device's code and logs in, or says no; the last page.
    pub(crate) fn type_code(&mut self, url: &str, user: Option<&str>) -> Page {
        let origin = origin(url);
        let mut page = self.send("GET", url, "");
        for _ in 0..8 {
            page = self.follow(page, &origin).unwrap();
            if !page.body.contains("<form") || page.status >= 400 {
                return page;
            }
            let confirming = page.body.contains("name=\"confirm\"");
            if confirming && user.is_none() {
                let page = self.submit(&page, &origin, "", "&abort=yes");
                return self.follow(page, &origin).unwrap();
            }
            page = self.submit(&page, &origin, user.unwrap_or_default(), "");
        }
        panic!("the provider asks for ever: {}", page.body);
    }

    /// Sends the form of a page with what is hidden in it.
    fn submit(&mut self, page: &Page, origin: &str, user: &str, more: &str) -> Page {
        let after = |text: &str, mark: &str| {
            text.split_once(mark).map(|(_, rest)| rest.split('"').next().unwrap().to_owned())
        };
        let action = after(&page.body, "action=\"").unwrap_or_else(|| panic!("no form: {}", page.body));
        let action = if action.starts_with('/') { format!("{origin}{action}") } else { action };
        let inputs = page.body.split("<input").skip(1).filter(|input| input.contains("hidden"));
        let mut pairs: Vec<String> = inputs
            .filter_map(|input| {
                let input = input.split('>').next()?;
                Some(format!("{}={}", after(input, "name=\"")?, after(input, "value=\"")?))
            })
            .collect();
        if page.body.contains("name=\"login\"") {
            pairs.push(format!("login={user}&password=x"));
        }
        self.send("POST", &action, &format!("{}{more}", pairs.join("&")))
    }
}

fn origin(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}
