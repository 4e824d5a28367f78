//! The operator's certificate and key: read at the start, and again whenever they are others. A pair that does not hold
//! never takes the place of one that does.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gateway::tls::{self, Pair};
use keyring::Sha256;
use model::{Digest, limits};
use platform::Platform;
use tokio::{sync::Notify, time::sleep};
use zeroize::Zeroizing;

use super::{in_time, wrong};
use crate::{clock, exit::Failure, node::unstarted, session::read_private};

/// Two files, and what they held when they were looked at last.
pub(crate) struct Files {
    paths: Paths,
    shown: Option<Arc<tls::Certificates>>,
    judged: Seen,
}

#[derive(Clone)]
struct Paths {
    certificate: PathBuf,
    key: PathBuf,
}

/// What was in the files, or why that is not known.
type Seen = Result<Digest, String>;

/// Two texts.
struct Texts {
    chain: String,
    key: Zeroizing<String>,
}

impl Files {
    /// Reads a pair that holds now, and the chain's text.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<(Self, Pair, String), Failure> {
        let paths = Paths { certificate: certificate.to_owned(), key: key.to_owned() };
        let texts = paths.read().map_err(unstarted)?;
        let pair = Pair::read(&texts.chain, &texts.key).map_err(|e| {
            let next = "`tls.key` must be the private key (PEM, PKCS#8) of the first certificate in `tls.certificate`";
            wrong(&e).next(next)
        })?;
        in_time(&pair, clock::now().unix_ms() / 1000)
            .map_err(|why| wrong(&why).next(format!("renew `{}`", certificate.display())))?;
        Ok((Self { paths, shown: None, judged: Ok(texts.digest()) }, pair, texts.chain))
    }

    /// Whether they can be read again: a pipe gives what it has but once.
    pub(super) fn can_change(&self) -> bool {
        let is_file = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.is_file());
        is_file(&self.paths.certificate) && is_file(&self.paths.key)
    }

    pub(super) fn shown_by(self, shown: &Arc<tls::Certificates>) -> Self {
        Self { shown: Some(Arc::clone(shown)), ..self }
    }

    /// Looks at the files every [`limits::CERTIFICATE_LOOK_MS`], and shows what is new and holds. The two are not
    /// written at one moment: what is seen twice is whole. Whoever wishes for it says that it is.
    pub(super) async fn watch(mut self, platform: Arc<Platform>, wish: Arc<Notify>) {
        let mut before: Option<Seen> = None;
        loop {
            let wished = tokio::select! {
                () = sleep(Duration::from_millis(limits::CERTIFICATE_LOOK_MS)) => false,
                () = wish.notified() => true,
            };
            let paths = self.paths.clone();
            let read = tokio::task::spawn_blocking(move || paths.read().map_err(|failure| failure.message));
            let read = read.await.unwrap_or_else(|error| Err(error.to_string()));
            let seen = read.as_ref().map(Texts::digest).map_err(Clone::clone);
            if seen == self.judged {
                before = None;
                if wished {
                    tracing::info!("the certificate and its key are as they were");
                }
            } else if wished || before.as_ref() == Some(&seen) {
                self.judge(&platform, read);
                (self.judged, before) = (seen, None);
            } else {
                before = Some(seen);
            }
        }
    }

    fn judge(&self, platform: &Platform, read: Result<Texts, String>) {
        let proved = read.and_then(|texts| {
            let pair = Pair::read(&texts.chain, &texts.key).map_err(|error| error.to_string())?;
            in_time(&pair, platform.clock().now().unix_ms() / 1000)?;
            Ok(pair)
        });
        let file = self.paths.certificate.display();
        let (outcome, said) = match proved {
            Ok(pair) => {
                let ends = model::Timestamp::from_unix_ms(pair.lasts_unix_s().1.saturating_mul(1000));
                if let Some(shown) = &self.shown {
                    shown.replace(pair);
                }
                tracing::info!(%file, %ends, "another certificate is shown from now on");
                (Ok(()), format!("`{file}`, which ends at {ends}"))
            }
            Err(why) => {
                tracing::error!(%file, why, "a certificate does not hold; the one before is shown on");
                (Err("certificate-refused"), format!("`{file}` is not shown: {why}"))
            }
        };
        platform.note_certificates("replace-certificate", outcome, &said);
    }
}

impl Paths {
    fn read(&self) -> Result<Texts, Failure> {
        let (certificate, key) = (&self.certificate, &self.key);
        let chain = fs::read_to_string(certificate).map_err(|e| Failure::file("read", certificate, &e))?;
        Ok(Texts { chain, key: read_private(key)? })
    }
}

impl Texts {
    fn digest(&self) -> Digest {
        let mut digest = Sha256::new();
        for text in [self.chain.as_bytes(), self.key.as_bytes()] {
            digest.update(&(text.len() as u64).to_be_bytes());
            digest.update(text);
        }
        digest.finish()
    }
}
