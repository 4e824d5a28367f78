//! The way to a certificate authority: the operator's own client, with its bounds. It never speaks plain HTTP.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use egress::Client;
use futures_util::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use model::limits;

/// The client as `instant-acme` wants it.
pub(super) struct Transport(pub(super) Arc<Client>);

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = Arc::clone(&self.0);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(|error| Error::Other(error.into()))?.to_bytes();
            let answer = client.call(Request::from_parts(head, body)).await;
            let (parts, mut stream) = answer.map_err(|error| Error::Other(error.into()))?.into_parts();
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await {
                let piece = piece.map_err(|_| Error::Other("its answer broke off".into()))?;
                bytes.extend_from_slice(&piece);
                if bytes.len() as u64 > limits::ACME_BYTES_MAX {
                    return Err(Error::Other("its answer is too long".into()));
                }
            }
            Ok(BytesResponse { parts, body: Box::new(Bytes::from(bytes)) })
        })
    }
}
