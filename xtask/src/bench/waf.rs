//! The rule engine beside libmodsecurity: the same requests, rules and settings through both on one thread, in turn. It
//! never judges a request itself: `bench/waf/driver.c` and the example `beside` of `crates/waf` do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{
    Bench,
    report::{Report, median},
};

/// Paranoia levels that are measured.
const LEVELS: [u8; 2] = [1, 4];
/// How often each side is asked in a round.
const TURNS: usize = 5;
/// What CRS writes at the end of a transaction whether or not anything was wrong, which version 3 does not in phase 5.
const SUMMARY: u64 = 980_170;
/// Differences that are listed, at most.
const DIFFERENCES_MAX: usize = 200;

/// One line of either program.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    load_ms: Option<f64>,
    resident_mib: Option<f64>,
    name: String,
    us: Option<f64>,
    us_max: Option<f64>,
    exhausted: bool,
    status: u16,
    rules: Vec<u64>,
}

/// The two programs and what they are given.
struct Sides {
    ours: PathBuf,
    theirs: Option<PathBuf>,
    crs: PathBuf,
    folder: PathBuf,
    /// The files of rules, in order.
    rules: Vec<PathBuf>,
    setup: PathBuf,
}

/// Speed, then agreement, then what hostile requests cost.
pub(super) fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let root = &bench.tools.root;
    let Some(crs) = crs(root) else {
        report.absent("waf", "no rules of CRS beside the project: CASEMATE_CRS names their folder");
        return Ok(());
    };
    let mut sides = Sides::new(root, crs)?;
    match driver(root, &sides.folder) {
        Ok(driver) => sides.theirs = Some(driver),
        Err(why) => report.absent("libmodsecurity", &format!("{why:#}")),
    }
    speed(bench, &sides, report)?;
    hostile(bench, &sides, report)?;
    if sides.theirs.is_some() && sides.crs.join("tests/regression/tests").is_dir() {
        agreement(&sides, report)?;
    } else {
        report.absent("agreement", "it wants libmodsecurity and CRS's regression tests");
    }
    Ok(())
}

pub(super) fn crs(root: &Path) -> Option<PathBuf> {
    let beside = root.join("..").join("shared").join("crs");
    let debian = PathBuf::from("/usr/share/modsecurity-crs");
    let named = std::env::var_os("CASEMATE_CRS").map(PathBuf::from);
    named.into_iter().chain([beside, debian]).find(|folder| folder.join("rules").is_dir())
}

/// Compiles the driver; an error where there is no compiler, or no libmodsecurity.
fn driver(root: &Path, folder: &Path) -> Result<PathBuf> {
    let to = folder.join("driver");
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-o"]).arg(&to).arg(root.join("bench/waf/driver.c")).arg("-lmodsecurity");
    let done = compile.stdin(Stdio::null()).output().context("`cc` is not there")?;
    if !done.status.success() {
        bail!("`bench/waf/driver.c` does not compile: is Debian's `libmodsecurity-dev` there?");
    }
    Ok(to)
}

impl Sides {
    fn new(root: &Path, crs: PathBuf) -> Result<Self> {
        let mut build = crate::test::cargo(root);
        build.args(["build", "--quiet", "--release", "-p", "waf", "--example", "beside"]);
        if !build.stdout(Stdio::null()).status()?.success() {
            bail!("the example `beside` does not build");
        }
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let folder = target.join("waf-bench");
        fs::create_dir_all(&folder)?;
        let listed = fs::read_dir(crs.join("rules"))?.map(|entry| entry.map(|entry| entry.path()));
        let mut rules: Vec<PathBuf> = listed.collect::<Result<_, _>>()?;
        rules.retain(|path| path.extension().is_some_and(|end| end == "conf"));
        rules.sort();
        rules.insert(0, crs.join("crs-setup.conf.example"));
        let ours = target.join("release/examples/beside");
        Ok(Self { ours, theirs: None, crs, folder, rules, setup: root.join("bench/waf") })
    }

    /// Has our side write a list of requests.
    fn requests(&self, what: &str) -> Result<PathBuf> {
        let to = self.folder.join(what);
        let done = Command::new(&self.ours).arg(what).arg(&to).arg(&self.crs).output()?;
        if !done.status.success() {
            bail!("{}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(to)
    }

    /// Runs one side; the first line tells what loading cost.
    fn lines(
        &self,
        side: &Path,
        what: &str,
        time: (u64, u8),
        requests: &Path,
        first: &[&str],
    ) -> Result<Vec<Line>> {
        let (milliseconds, level) = (time.0.to_string(), time.1.to_string());
        let mut command = Command::new(side);
        command.args([what, &milliseconds, &level]).arg(requests);
        command.args(first.iter().map(|name| self.setup.join(name))).args(&self.rules);
        let done = command.stdin(Stdio::null()).output()?;
        if !done.status.success() {
            bail!("{}: {}", side.display(), String::from_utf8_lossy(&done.stderr));
        }
        let text = String::from_utf8(done.stdout)?;
        text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }
}

/// Each kind of request at each level, ours and theirs in turn, [`TURNS`] times a round. Of a round the least of either
/// counts, because whoever else computes on the machine only ever adds to the processor's time; of the rounds the median.
fn speed(bench: &Bench<'_>, sides: &Sides, report: &mut Report) -> Result<()> {
    let requests = sides.requests("kinds")?;
    let milliseconds = (bench.seconds * 20).clamp(50, 500);
    for level in LEVELS {
        let mut samples: BTreeMap<(String, bool), Vec<f64>> = BTreeMap::new();
        for _ in 0..bench.rounds {
            let mut round: BTreeMap<(String, bool), f64> = BTreeMap::new();
            for turn in 0..2 * TURNS {
                let is_ours = turn % 2 == 1;
                let Some(side) = Some(&sides.ours).filter(|_| is_ours).or(sides.theirs.as_ref()) else {
                    continue;
                };
                for line in sides.lines(side, "time", (milliseconds, level), &requests, &["setup.conf"])? {
                    let mut least = |name: &str, value: Option<f64>| {
                        let Some(value) = value else { return };
                        let known = round.entry((name.to_owned(), is_ours)).or_insert(value);
                        *known = known.min(value);
                    };
                    least("load_ms", line.load_ms);
                    least("resident_mib", line.resident_mib);
                    least(&line.name, line.us);
                }
            }
            for (what, least) in round {
                samples.entry(what).or_default().push(least);
            }
        }
        let of = |name: &str, ours: bool| median(samples.get(&(name.to_owned(), ours))?);
        for kind in ["get", "json", "form", "attack"] {
            let (ours, theirs) = (of(kind, true), of(kind, false));
            report.figure(&format!("{kind}_level{level}_us"), ours.unwrap_or(f64::NAN));
            report.figure(&format!("{kind}_level{level}_libmodsecurity_us"), theirs.unwrap_or(f64::NAN));
            report.ratio(&format!("{kind}_level{level}"), theirs, ours);
        }
        for what in ["load_ms", "resident_mib"] {
            report.figure(&format!("level{level}_{what}"), of(what, true).unwrap_or(f64::NAN));
            let theirs = of(what, false).unwrap_or(f64::NAN);
            report.figure(&format!("level{level}_libmodsecurity_{what}"), theirs);
        }
    }
    Ok(())
}

/// What the worst of the hostile requests of 128 KB costs without a budget of time that would end it: of those that repeat
/// something, and of those that are in no order; then the longest of all with the budget that a node has.
fn hostile(bench: &Bench<'_>, sides: &Sides, report: &mut Report) -> Result<()> {
    let requests = sides.requests("hostile")?;
    for level in LEVELS {
        let mut worst: BTreeMap<String, f64> = BTreeMap::new();
        let mut bounded: f64 = 0.0;
        for _ in 0..bench.rounds.max(TURNS) {
            for line in sides.lines(&sides.ours, "patient", (20, level), &requests, &["setup.conf"])? {
                let Some(us) = line.us.filter(|_| !line.exhausted) else { continue };
                let known = worst.entry(line.name).or_insert(us);
                *known = known.min(us);
            }
        }
        for line in sides.lines(&sides.ours, "time", (20, level), &requests, &["setup.conf"])? {
            bounded = bounded.max(line.us_max.unwrap_or(0.0));
        }
        for (what, is_random) in [("hostile", false), ("random", true)] {
            let each = worst.iter().filter(|(name, _)| name.starts_with("random-") == is_random);
            let dearest = each.max_by(|a, b| a.1.total_cmp(b.1));
            let (name, us) = dearest.context("no hostile request was timed")?;
            eprintln!("   level {level}: the dearest of 128 KB ({what}) is `{name}`");
            report.figure(&format!("{what}_128k_level{level}_ms_max"), us / 1000.0);
        }
        report.figure(&format!("bounded_128k_level{level}_ms_max"), bounded / 1000.0);
    }
    Ok(())
}

/// Whether both decide alike, and tell the same rules, for each request of CRS's regression tests.
fn agreement(sides: &Sides, report: &mut Report) -> Result<()> {
    let requests = sides.requests("corpus")?;
    let theirs = sides.theirs.as_ref().context("libmodsecurity is not there")?;
    let (mut all, mut differ, mut differ_in_rules) = (0_u32, 0, 0);
    for level in LEVELS {
        let run = |side| sides.lines(side, "decide", (0, level), &requests, &["setup.conf", "limits.conf"]);
        let (ours, theirs) = (run(&sides.ours)?, run(theirs)?);
        if ours.len() != theirs.len() {
            bail!("{} requests were decided, {} by libmodsecurity", ours.len(), theirs.len());
        }
        for (ours, theirs) in ours.iter().zip(&theirs).skip(1) {
            let told = |line: &Line| -> BTreeSet<u64> {
                line.rules.iter().copied().filter(|id| *id != SUMMARY).collect()
            };
            let (mine, its) = (told(ours), told(theirs));
            all += 1;
            differ += usize::from(ours.status != theirs.status);
            differ_in_rules += usize::from(mine != its);
            if (ours.status != theirs.status || mine != its) && report.differences.len() < DIFFERENCES_MAX {
                report.differences.push(format!(
                    "{} at level {level}: {} and by libmodsecurity {}; only ours {:?}, only its {:?}",
                    ours.name,
                    ours.status,
                    theirs.status,
                    mine.difference(&its).collect::<Vec<_>>(),
                    its.difference(&mine).collect::<Vec<_>>()
                ));
            }
        }
    }
    let percent = |differ: usize| 100.0 - 100.0 * differ as f64 / f64::from(all.max(1));
    report.figure("agreement_requests", f64::from(all));
    report.figure("agreement_percent", percent(differ));
    report.figure("agreement_rules_percent", percent(differ_in_rules));
    Ok(())
}
