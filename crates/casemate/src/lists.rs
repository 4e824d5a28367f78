//! The lists of a running node: read from the configuration and the files that it names, and read again when they change.
//! It never decides who may connect.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use model::{Clock, limits};
use parking_lot::Mutex;
use platform::Platform;
use shield::{At, Firewall, Forwarders, Lists, Sets};

use crate::config::{Network, SetSource};

/// How often it is looked whether a set's file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a file was like when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    changed: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

/// Reads the lists of a configuration. What cannot be read is as it was `before`, if it was, and is said.
pub(crate) fn read(network: &Network, before: Option<&Lists>, at: At) -> (Lists, Vec<String>) {
    let (mut sets, mut wrong) = (Sets::default(), Vec::new());
    for (name, source) in &network.sets {
        let text = match source {
            SetSource::Ranges(entries) => {
                let lines: Vec<String> = entries.iter().map(ToString::to_string).collect();
                Ok(lines.join("\n"))
            }
            SetSource::File(path) => text_of(path),
        };
        let put = text.and_then(|text| sets.put(name, &text, at).map_err(|e| e.to_string()));
        if let Err(why) = put {
            let place = match source {
                SetSource::File(path) => format!(" (`{}`)", path.display()),
                SetSource::Ranges(_) => String::new(),
            };
            wrong.push(format!("the set `{name}`{place} cannot be read: {why}"));
            before.into_iter().for_each(|before| sets.keep(name, &before.sets));
        }
    }
    let lists = Lists {
        node: Firewall::new(&network.allow, &network.deny, at),
        control: Firewall::new(&network.control_allow, &network.control_deny, at),
        sets,
        forwarders: Forwarders {
            connections: network.trusted.iter().copied().collect(),
            control: network.trusted_control,
            requests: network.forwarded.iter().copied().collect(),
            header: network.header,
        },
    };
    (lists, wrong)
}

fn text_of(path: &Path) -> Result<String, String> {
    let (most, mut text) = (limits::FIREWALL_SET_BYTES_MAX, String::new());
    let file = fs::File::open(path).map_err(|e| e.to_string())?;
    file.take(most + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.len() as u64 > most { Err(format!("it has more than {most} bytes")) } else { Ok(text) }
}

/// The moment, on both clocks of the machine.
pub(crate) fn moment(clock: &dyn Clock) -> At {
    At { now: clock.now(), now_ms: clock.monotonic_ms() }
}

/// Keeps a running node's lists as its configuration and their files say.
pub(crate) struct Keeper {
    platform: Arc<Platform>,
    known: Mutex<Known>,
}

struct Known {
    network: Network,
    stamps: HashMap<PathBuf, Option<Stamp>>,
}

impl Keeper {
    /// Looks after lists that were read from this configuration a moment ago. It looks for as long as somebody holds it.
    pub(crate) fn start(platform: Arc<Platform>, network: Network) -> Arc<Self> {
        let stamps = stamps(&network.sets);
        let keeper = Arc::new(Self { platform, known: Mutex::new(Known { network, stamps }) });
        let weak = Arc::downgrade(&keeper);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let Some(keeper) = weak.upgrade() else { return };
                // A hundred thousand lines are long work, and requests are served meanwhile.
                let _done = tokio::task::spawn_blocking(move || keeper.look()).await;
            }
        });
        keeper
    }

    /// Puts what another configuration says in force.
    pub(crate) fn replace(&self, network: Network) {
        let mut known = self.known.lock();
        known.stamps = stamps(&network.sets);
        known.network = network;
        self.read(&known.network);
    }

    /// The configuration could not be read: all stays.
    pub(crate) fn unreadable(&self, why: &str) {
        tracing::warn!("the configuration cannot be read, and the lists stay as they are: {why}");
        self.platform.note_lists(Err(why));
    }

    fn look(&self) {
        let mut known = self.known.lock();
        let now = stamps(&known.network.sets);
        if now != known.stamps {
            known.stamps = now;
            self.read(&known.network);
        }
    }

    fn read(&self, network: &Network) {
        let shield = self.platform.shield();
        let (lists, wrong) = read(network, Some(&shield.lists()), moment(self.platform.clock()));
        shield.replace_lists(lists);
        for why in &wrong {
            tracing::warn!("{why}; it stays as it was");
            self.platform.note_lists(Err(why));
        }
        if wrong.is_empty() {
            tracing::info!("the firewall's lists were read again");
            self.platform.note_lists(Ok("the firewall's lists were read again"));
        }
        self.platform.warn_of_sets();
    }
}

/// What the files of sets are like. One that is not there has none.
fn stamps(sets: &BTreeMap<String, SetSource>) -> HashMap<PathBuf, Option<Stamp>> {
    use std::os::unix::fs::MetadataExt;
    let files = sets.values().filter_map(|source| match source {
        SetSource::File(path) => Some(path.clone()),
        SetSource::Ranges(_) => None,
    });
    let stamp = |path: PathBuf| {
        let found = fs::metadata(&path).ok();
        let found = found.map(|m| Stamp { changed: m.modified().ok(), bytes: m.len(), inode: m.ino() });
        (path, found)
    };
    files.map(stamp).collect()
}
