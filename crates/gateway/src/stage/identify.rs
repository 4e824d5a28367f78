//! Asks who sends a request, once all is there that must be for that. It never reads a credential itself.

use std::time::Duration;

use futures_util::StreamExt;
use http::header;
use identity::Caller;
use model::{Fault, RequestId, limits};
use platform::{Holds, Platform, Refused, RequestBody, Target};
use shield::Screened;

use super::shape::ShapeError;
use crate::problem::Problem;

/// Turns the credential into a caller.
pub(crate) fn identify(
    platform: &Platform,
    id: RequestId,
    target: &Target,
    screened: &Screened<RequestBody>,
) -> Result<Caller, Refused> {
    let body = match screened.body() {
        RequestBody::Full(bytes) => bytes.as_ref(),
        RequestBody::Stream(_) => &[],
    };
    platform.identify(id, target, screened.head(), body, screened.peer())
}

/// The memory for bodies that are read whole before it is known who sent them.
#[derive(Debug, Clone)]
pub(crate) struct Whole(Holds);

impl Default for Whole {
    fn default() -> Self {
        Self(Holds::new(limits::PROVED_BODIES_BYTES_MAX))
    }
}

impl Whole {
    /// Waits for what a function needs that takes other credentials than API tokens: an issuer's first keys, and
    /// the whole body where a webhook or a signature is to prove it. The body is handed on unchanged.
    pub(crate) async fn ready(
        &self,
        platform: &Platform,
        id: RequestId,
        target: &Target,
        screened: Screened<RequestBody>,
    ) -> Result<Screened<RequestBody>, Problem> {
        platform.first_keys(target, screened.head()).await;
        let is_stream = matches!(screened.body(), RequestBody::Stream(_));
        if !is_stream || !platform.wants_body(target, screened.head()) {
            return Ok(screened);
        }
        let said = screened.head().headers.get(header::CONTENT_LENGTH);
        let said = said.and_then(|said| said.to_str().ok()?.parse::<u64>().ok());
        let (screened, body) = screened.with_body(());
        match self.read(target, said, body).await {
            Ok(body) => Ok(screened.with_body(body).0),
            Err(Unread::Fault(fault)) => {
                let (code, sentence) = (fault.code(), fault.sentence());
                platform.note_refusal(id, Some(target), screened.peer(), code, sentence);
                Err(fault.into())
            }
            Err(Unread::Shape(error)) => Err(error.into()),
        }
    }

    async fn read(
        &self,
        target: &Target,
        said: Option<u64>,
        body: RequestBody,
    ) -> Result<RequestBody, Unread> {
        let most = target.limits().request_body_bytes;
        let RequestBody::Stream(mut pieces) = body else { return Ok(body) };
        let room = said.unwrap_or(most);
        if room > most {
            return Err(Unread::Fault(Fault::RequestBodyLimit));
        }
        let collect = async {
            let mut held = self.0.begin();
            while let Some(piece) = pieces.next().await {
                // What went wrong is known to the upload itself.
                let piece = piece.map_err(|_| Unread::Shape(ShapeError::BodyBroken))?;
                if (held.len() + piece.len()) as u64 > room {
                    return Err(Unread::Fault(Fault::RequestBodyLimit));
                }
                held.push(&piece).map_err(Unread::Fault)?;
            }
            Ok(held)
        };
        let wait = Duration::from_millis(target.limits().wall_ms);
        let held = tokio::time::timeout(wait, collect).await;
        let held = held.map_err(|_| Unread::Shape(ShapeError::BodySlow))??;
        Ok(RequestBody::Full(held.into_bytes()))
    }
}

/// Why a body was not read to its end.
enum Unread {
    Fault(Fault),
    Shape(ShapeError),
}
