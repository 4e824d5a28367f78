use super::*;

const START: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

/// A generator of numbers that are the same in every run (SplitMix64).
struct Numbered(u64);

impl Numbered {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Times as functions have them: most near each other, some much longer (log-normal, by Box and Muller).
    fn heavy_tailed(&mut self) -> u64 {
        let (a, b) = (self.unit().max(1e-12), self.unit());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        (10_000.0 * (0.8 * normal).exp()) as u64
    }
}

fn out(place: &str) -> Step {
    Step::Out(place.to_owned())
}

fn run(steps: &[Step]) -> Trail {
    let mut trail = Trail::default();
    for step in steps {
        trail.step(step.clone());
    }
    trail.step(Step::End);
    trail
}

fn ended(profile: &mut Profile, trail: &Trail, numbers: Numbers, sent: Sent, at: Timestamp) -> Vec<Finding> {
    profile.ended(&Seen { transitions: trail.transitions(), numbers, sent }, at)
}

/// A profile in force, of runs that log or not and call one place.
fn learned() -> Profile {
    let mut profile = Profile::new(START, 10, false);
    let place = out("GET https://a.example:443");
    for n in 0..1_000_u64 {
        let steps = if n % 2 == 0 { vec![place.clone()] } else { vec![Step::Log, place.clone()] };
        let numbers =
            Numbers { cpu_us: 5_000 + n, response_bytes: 100, outbound_calls: 1, ..Numbers::default() };
        let found = ended(
            &mut profile,
            &run(&steps),
            numbers,
            Sent { calls: 1, bytes: 10 },
            START.plus_ms(n * 1_000),
        );
        assert_eq!(found, []);
    }
    assert_eq!((profile.stage(), profile.runs()), (Stage::InForce, 601), "10 minutes of a run a second");
    profile
}

#[test]
fn steps_become_transitions_each_once() {
    let mut trail = Trail::default();
    for step in [Step::Log, Step::Log, out("GET a"), Step::Log, out("GET a"), Step::End] {
        trail.step(step);
    }
    let said: Vec<String> = trail.transitions().iter().map(|(a, b)| format!("{a}>{b}")).collect();
    assert_eq!(said, ["start>log", "log>GET a", "GET a>log", "GET a>end"]);
    let mut trail = Trail::default();
    for n in 0..1_000 {
        trail.step(out(&format!("GET {n}")));
    }
    assert_eq!(trail.transitions().len(), limits::TRAIL_MAX);
}

#[test]
fn what_was_never_seen_is_found_once() {
    let mut profile = learned();
    let (at, quiet) = (START.plus_ms(3_600_000), Numbers::default());
    let usual = run(&[Step::Log, out("GET https://a.example:443")]);
    assert_eq!(ended(&mut profile, &usual, quiet, Sent::default(), at), []);
    let other = run(&[out("POST https://evil.example:443")]);
    let found = ended(&mut profile, &other, quiet, Sent::default(), at);
    let unseen = |from: Step, to: Step| Finding::Unseen((from, to));
    let place = || out("POST https://evil.example:443");
    assert_eq!(found, [unseen(Step::Start, place()), unseen(place(), Step::End)]);
    assert_eq!(ended(&mut profile, &other, quiet, Sent::default(), at), [], "once");
    assert!(!profile.knows(&(Step::Start, place())), "and it stays unknown");
    // It outlives a restart.
    let text = serde_json::to_string(&profile).unwrap();
    let mut again: Profile = serde_json::from_str(&text).unwrap();
    assert_eq!(ended(&mut again, &other, quiet, Sent::default(), at), []);
    assert!(again.knows(&(Step::Start, Step::Log)));
}

#[test]
fn nothing_is_in_force_before_its_time_or_without_approval() {
    let mut profile = Profile::new(START, 10, true);
    let (trail, quiet) = (run(&[]), Numbers::default());
    let later = START.plus_ms(3_600_000);
    for _ in 1..limits::PROFILE_RUNS_MIN {
        ended(&mut profile, &trail, quiet, Sent::default(), later);
        assert_eq!(profile.stage(), Stage::Learning, "too few runs");
    }
    ended(&mut profile, &trail, quiet, Sent::default(), later);
    assert_eq!(profile.stage(), Stage::Waiting);
    let other = run(&[Step::Log]);
    assert_eq!(ended(&mut profile, &other, quiet, Sent::default(), later), []);
    profile.approve(later);
    assert_eq!(ended(&mut profile, &other, quiet, Sent::default(), later).len(), 2);
}

#[test]
fn memory_is_bounded() {
    let mut profile = Profile::new(START, 1, false);
    for n in 0..10_000 {
        let trail = run(&[out(&format!("GET https://{n}.example:443"))]);
        ended(&mut profile, &trail, Numbers::default(), Sent::default(), START);
    }
    assert_eq!(profile.transitions().count(), limits::PROFILE_TRANSITIONS_MAX);
    profile.approve(START);
    let found = (10_000..20_000).map(|n| {
        let trail = run(&[out(&format!("GET https://{n}.example:443"))]);
        ended(&mut profile, &trail, Numbers::default(), Sent::default(), START).len()
    });
    assert_eq!(found.sum::<usize>(), limits::PROFILE_FINDINGS_MAX);
}

#[test]
fn sudden_egress_is_told_once_a_minute() {
    let mut profile = learned();
    let trail = run(&[out("GET https://a.example:443")]);
    let minute = START.plus_ms(3_600_000);
    let many = Sent { calls: 1, bytes: 1 << 20 };
    let found: Vec<Finding> =
        (0..50).flat_map(|_| ended(&mut profile, &trail, Numbers::default(), many, minute)).collect();
    assert!(matches!(found.as_slice(), [Finding::Egress { what: "bytes", .. }]), "{found:?}");
    let few = Sent { calls: 1, bytes: 10 };
    for n in 0..200 {
        let at = minute.plus_ms(60_000 + n * 500);
        assert_eq!(ended(&mut profile, &trail, Numbers::default(), few, at), [], "{n}");
    }
}

/// Draws what is learned and what comes from one distribution, many times, and counts the windows that raise an alarm.
/// The chance is set so high that there are some; they must not be more than it says (by five standard deviations), and
/// not so much fewer that the test would find nothing.
#[test]
fn false_alarms_are_as_rare_as_is_said() {
    for (chance, rounds) in [(0.05, 4_000_u32), (0.01, 8_000)] {
        for (n, k) in [(100_u64, 100_u32), (1_000, 100)] {
            let mut numbers = Numbered(n + u64::from(k));
            let mut alarms = 0_u32;
            for _ in 0..rounds {
                let mut learned: Vec<u64> = (0..n).map(|_| numbers.heavy_tailed()).collect();
                learned.sort_unstable();
                let bound = learned[(n * 95 / 100) as usize];
                let r = learned.iter().filter(|value| **value > bound).count() as u64;
                let critical = critical(n, r, k, chance);
                let above = (0..k).filter(|_| numbers.heavy_tailed() > bound).count();
                alarms += u32::from(above >= critical as usize);
            }
            let (expect, rounds) = (chance * f64::from(rounds), f64::from(rounds));
            let most = expect + 5.0 * (rounds * chance * (1.0 - chance)).sqrt();
            let found = f64::from(alarms);
            assert!(found <= most, "{alarms} alarms of {rounds}, at most {most} for a chance of {chance}");
            assert!(found >= expect / 5.0, "{alarms} alarms of {rounds} find too little");
        }
    }
}

/// The whole of it, with the rate that is in force: a hundred thousand runs like the learned ones, some of them outliers,
/// raise nothing; a quarter of the runs at four times the median do.
#[test]
fn drift_is_found_and_outliers_are_not() {
    for seed in 0..4 {
        let mut numbers = Numbered(seed);
        let mut profile = Profile::new(START, 1, false);
        let trail = run(&[]);
        for n in 0..2_000_u64 {
            let numbers = Numbers { cpu_us: numbers.heavy_tailed(), ..Numbers::default() };
            ended(&mut profile, &trail, numbers, Sent::default(), START.plus_ms(n * 40));
        }
        assert_eq!(profile.stage(), Stage::InForce);
        let later = START.plus_ms(3_600_000);
        for n in 0..100_000_u64 {
            let cpu_us = if n % 200 == 0 { 50_000_000 } else { numbers.heavy_tailed() };
            let used = Numbers { cpu_us, ..Numbers::default() };
            assert_eq!(
                ended(&mut profile, &trail, used, Sent::default(), later),
                [],
                "run {n} of seed {seed}"
            );
        }
        let mut found = Vec::new();
        for n in 0..u64::from(limits::DRIFT_RUNS) * 2 {
            let cpu_us = numbers.heavy_tailed() * if n % 4 == 0 { 40 } else { 1 };
            let used = Numbers { cpu_us, ..Numbers::default() };
            found.extend(ended(&mut profile, &trail, used, Sent::default(), later));
        }
        assert!(matches!(found.first(), Some(Finding::Drift { number: "cpu_us", .. })), "{found:?}");
    }
}
