//! The only wiring of rooms: keyring, store, cells, egress, platform, gateway, in this order. It never decides
//! what is allowed.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cell::{CellConfig, Cells, Walls};
use gateway::{About, Addresses, Gateway, GatewayConfig};
use keyring::{KdfParams, RootKey, SystemEntropy};
use model::{Entropy, TenantId, limits};
use platform::{FirstStart, Parts, Platform, PlatformConfig};
use shield::{Shield, ShieldConfig};
use store::{Candidate, OpenSealedError, Sealed, SealedBy, Store};
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use crate::{
    certificates::certificates,
    clock::SystemClock,
    config::{Config, Network, RootKeySource},
    events,
    exit::{Exit, Failure},
    folder::{STORE, data_folder},
    lists::{self, Keeper},
    session::{Secret, read_private},
};

/// Workers for each trust label that wait to take the place of one that dies.
const SPARES: usize = 1;

/// A node that runs.
pub(crate) struct Node {
    platform: Arc<Platform>,
    walls: Walls,
    addresses: Addresses,
    ca: String,
    ca_file: PathBuf,
    first: Option<FirstStart>,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    /// What looks after the firewall's lists.
    lists: Arc<Keeper>,
    /// What looks after the certificates, and how it is told to look at once.
    certificates: Option<JoinHandle<()>>,
    wish: Arc<Notify>,
}

impl Node {
    /// Opens every room, from the keys up, and binds the ports last.
    ///
    /// # Errors
    /// Which room did not open, why, and what to do; nothing is left running.
    pub(crate) async fn start(config: &Config) -> Result<Self, Failure> {
        Self::start_with(config, platform::Prover::find).await
    }

    /// The same with a solver that is looked for otherwise.
    pub(crate) async fn start_with(
        config: &Config,
        prover: impl FnOnce() -> Option<platform::Prover> + Send + 'static,
    ) -> Result<Self, Failure> {
        data_folder(config)?;
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let sealed = open_store(config, &entropy).await?;
        let tls = certificates(config, &sealed.system()).await?;
        let cells = start_cells(config).await?;
        let walls = cells.walls();
        let parts = Parts {
            sealed,
            cells,
            egress: Arc::new(open_egress(config)?),
            shield: Arc::new(Shield::new(ShieldConfig {
                lists: lists(config).await?,
                ..config.rates.shield()
            })),
            // It is asked something, so that one that does not work is none.
            prover: blocking(prover).await?,
            clock: Arc::new(SystemClock),
            entropy,
            sinks: events::sinks(config)?,
        };
        let (platform, first) = Platform::open(platform_config(config), parts).await.map_err(|e| match &e {
            platform::OpenError::Clock { .. } => not_started(&e).next(
                "set the machine's clock; if it is the later time that was wrong, start once with `--accept-clock`",
            ),
            _ => not_started(&e),
        })?;

        let gateway = gateway_config(config, tls.tls);
        let gateway = match Gateway::bind(gateway, Arc::clone(&platform)).await {
            Ok(gateway) => gateway,
            Err(error) => {
                platform.stop().await;
                return Err(not_started(&error).next("name another address with `--listen` or `--control`"));
            }
        };
        let addresses = gateway.addresses();
        let lists = Keeper::start(Arc::clone(&platform), config.network.clone());
        let (shutdown, ends) = oneshot::channel();
        let serving = tokio::spawn(gateway.serve(async {
            // A sender that is gone means the same.
            let _ = ends.await;
        }));
        // Not before the ports are open: whoever issues certificates comes to look.
        let wish = Arc::new(Notify::new());
        let certificates = tls.keeper.start(Arc::clone(&platform), Arc::clone(&wish));
        let (ca, ca_file) = (tls.ca, tls.ca_file);
        tracing::info!(functions = %addresses.data, control = %addresses.control, "the node answers");
        Ok(Self {
            platform,
            walls,
            addresses,
            ca,
            ca_file,
            first,
            shutdown,
            serving,
            certificates,
            lists,
            wish,
        })
    }

    /// Where functions answer.
    pub(crate) const fn functions(&self) -> SocketAddr {
        self.addresses.data
    }

    /// Where the control API answers.
    pub(crate) const fn control(&self) -> SocketAddr {
        self.addresses.control
    }

    /// Where functions answer without TLS.
    pub(crate) const fn plain_http(&self) -> Option<SocketAddr> {
        self.addresses.plain
    }

    /// Where certificate authorities look over HTTP.
    pub(crate) const fn challenges(&self) -> Option<SocketAddr> {
        self.addresses.challenges
    }

    /// The certificate (PEM) that signs the node's.
    pub(crate) fn ca(&self) -> &str {
        &self.ca
    }

    /// Where it lies.
    pub(crate) fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// The names of the walls that stand around every worker, and of those that do not.
    pub(crate) fn walls(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let all = Walls::ALL.iter().fold(Walls::default(), |sum, (wall, _)| sum.with(*wall));
        (self.walls.names(), self.walls.missing(all))
    }

    /// The first start's tenant and token.
    pub(crate) fn first_token(&self) -> Option<(TenantId, Secret)> {
        self.first.as_ref().map(|first| (first.tenant.clone(), Secret::new(&first.token)))
    }

    /// The first start's token is where its user finds it.
    ///
    /// # Errors
    /// If the store cannot keep that; the next start then makes another token.
    pub(crate) async fn first_token_kept(&mut self) -> Result<(), Failure> {
        match self.first.take() {
            Some(first) => self.platform.first_token_kept(&first).await.map_err(|e| not_started(&e)),
            None => Ok(()),
        }
    }

    /// Puts the firewall and the forwarders of a configuration in force that was read again, or says why it was not, and
    /// looks at the operator's certificate and key at once.
    pub(crate) async fn reload(&self, network: Result<Network, String>) {
        self.wish.notify_one();
        let keeper = Arc::clone(&self.lists);
        let read = tokio::task::spawn_blocking(move || match network {
            Ok(network) => keeper.replace(network),
            Err(why) => keeper.unreadable(&why),
        });
        if let Err(error) = read.await {
            tracing::error!(%error, "the lists could not be read again");
        }
    }

    /// Takes no more connections, lets requests end within their time, then ends the workers and saves what is
    /// not saved yet.
    pub(crate) async fn stop(self) {
        if let Some(certificates) = &self.certificates {
            certificates.abort();
        }
        let _ = self.shutdown.send(());
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the gateway failed");
        }
        self.platform.stop().await;
    }
}

/// Opens the store, or makes the first one. Whatever is wrong with the folder or the key is found while
/// everything is as it was.
pub(crate) async fn open_store(config: &Config, entropy: &Arc<dyn Entropy>) -> Result<Arc<Sealed>, Failure> {
    let passphrase = passphrase(config)?;
    let place = config.data.join(STORE);
    let candidate = blocking(move || Candidate::examine(&place)).await?.map_err(|e| not_started(&e))?;
    let sealed_by = candidate.sealed_by().map_err(|e| not_started(&e))?;
    let known = match (&config.root_key, sealed_by) {
        (RootKeySource::File(path), by) => Some(root_key_of_file(path, by.is_some()).await?),
        (_, Some(SealedBy::Passphrase(params))) => Some(stretched(&passphrase, params).await?),
        (_, Some(SealedBy::File)) => return Err(not_started(&OpenSealedError::NotByPassphrase)),
        (_, None) => None,
    };
    if let Some(root) = &known {
        candidate.check_root(root).map_err(|e| unsealed(&e))?;
    }
    let opened = blocking(move || candidate.open()).await?;
    let backend: Arc<dyn Store> = Arc::new(opened.map_err(|e| not_started(&e))?);
    let root = match known {
        Some(root) => root,
        None => {
            let params = store::passphrase_params(&*backend, &**entropy).await.map_err(|e| unsealed(&e))?;
            stretched(&passphrase, params).await?
        }
    };
    Sealed::open(backend, root, Arc::clone(entropy)).await.map_err(|e| unsealed(&e))
}

fn unsealed(error: &OpenSealedError) -> Failure {
    match error {
        OpenSealedError::WrongRoot(_) => {
            not_started(error).next("nothing was changed; see `root_key` in the configuration")
        }
        other => not_started(other),
    }
}

/// A key is made for data that is not there yet, never for data that is: that would only hide that the right
/// one is missing.
async fn root_key_of_file(path: &Path, sealed: bool) -> Result<RootKey, Failure> {
    let path = path.to_owned();
    let load = move || if sealed { RootKey::load(&path) } else { RootKey::load_or_create(&path) };
    blocking(load).await?.map_err(|e| not_started(&e))
}

/// The passphrase, where the configuration says so; empty where the key is a file.
fn passphrase(config: &Config) -> Result<Secret, Failure> {
    match &config.root_key {
        RootKeySource::File(_) => Ok(Secret::new("")),
        RootKeySource::PassphraseFile(path) => Ok(Secret::new(&read_private(path).map_err(unstarted)?)),
        RootKeySource::PassphraseEnv(name) => {
            let text = std::env::var(name).map_err(|_| not_started(&format!("`{name}` is not set")));
            Ok(Secret::new(&zeroize::Zeroizing::new(text?)))
        }
    }
}

async fn stretched(passphrase: &Secret, params: KdfParams) -> Result<RootKey, Failure> {
    let passphrase = passphrase.clone();
    blocking(move || RootKey::from_passphrase(passphrase.expose(), &params))
        .await?
        .map_err(|e| not_started(&e))
}

async fn start_cells(config: &Config) -> Result<Arc<Cells>, Failure> {
    let program =
        std::env::current_exe().map_err(|e| not_started(&format!("where is this executable? {e}")))?;
    let required = Walls(Walls::REQUIRED.0 & !config.dangerous.missing_walls.0);
    let compile_wall = Duration::from_millis(config.compile_wall_ms);
    let settings = CellConfig {
        workers: config.workers,
        spares: SPARES,
        compile_wall,
        required,
        ..CellConfig::new(program)
    };
    Cells::start(settings).await.map_err(|e| match &e {
        cell::StartError::Walls(names) => not_started(&e).next(format!(
            "`casemate doctor` says what each wants; to run without, write `missing_walls = [\"{}\"]` under \
             `[dangerous]`",
            names.join("\", \"")
        )),
        _ => not_started(&e).next("`casemate doctor` tries the walls one by one"),
    })
}

fn open_egress(config: &Config) -> Result<egress::Egress, Failure> {
    let allow: Result<Vec<_>, _> =
        config.egress_allow.iter().map(|range| range.to_string().parse()).collect();
    let allow = allow.map_err(|e: egress::CidrError| not_started(&e))?;
    let settings = egress::EgressConfig { allow, ..egress::EgressConfig::default() };
    egress::Egress::new(settings).map_err(|e| not_started(&e))
}

fn platform_config(config: &Config) -> PlatformConfig {
    PlatformConfig {
        domain: config.domain.clone(),
        trust_domain: config.trust_domain.clone(),
        ceiling: config.ceiling,
        shield: config.shield,
        responses: config.responses,
        tenant_ceiling: config.tenant_concurrency,
        places: config.workers as u64 * u64::from(limits::WORKER_RUNS_MAX),
        turns: config.workers * limits::WORKER_TURNS,
        accept_clock: config.accept_clock,
    }
}

/// The firewall's lists, as they stand at the start. Where one cannot be read, nobody knows who may connect.
async fn lists(config: &Config) -> Result<shield::Lists, Failure> {
    let network = config.network.clone();
    let (lists, wrong) = blocking(move || lists::read(&network, None, lists::moment(&SystemClock))).await?;
    match wrong.first() {
        Some(why) => Err(not_started(why).next("see `firewall.sets` in the configuration")),
        None => Ok(lists),
    }
}

fn gateway_config(config: &Config, tls: gateway::tls::Tls) -> GatewayConfig {
    GatewayConfig {
        listen: config.listen,
        control: config.control,
        plain: config.dangerous.plain_http,
        challenges: config.shown.challenges(),
        domain: config.domain.clone(),
        drain_ms: config.drain_ms,
        about: About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: "embedded".to_owned(),
            dangerous: config.dangerous.warnings(),
        },
        ..GatewayConfig::loopback(tls)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|e| not_started(&e))
}

/// A failure of another command's kind, at the start of a node.
pub(crate) fn unstarted(failure: Failure) -> Failure {
    Failure { exit: Exit::NotStarted, ..failure }
}

pub(crate) fn not_started(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::NotStarted, why)
}
