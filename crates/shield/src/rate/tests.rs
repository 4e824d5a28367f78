use super::*;

/// Sends `count` at once at each time of `times_ms` and says how many got through in all.
fn check(rate: Rate, count: u32, times_ms: &[u64], expect: u32) {
    let limiter = Limiter::<String>::new(rate, 1_000);
    let passed: u32 = times_ms
        .iter()
        .map(|now_ms| (0..count).filter(|_| limiter.take("key", *now_ms).is_ok()).count() as u32)
        .sum();
    assert_eq!(passed, expect, "{rate:?} {count} {times_ms:?}");
}

#[test]
fn a_burst_and_then_the_rate() {
    check(Rate::per_second((10, 5)), 100, &[0], 5);
    check(Rate::per_second((10, 5)), 100, &[0, 99], 5);
    check(Rate::per_second((10, 5)), 100, &[0, 100], 6);
    check(Rate::per_second((10, 5)), 100, &[0, 500], 10);
    check(Rate::per_second((10, 5)), 100, &[0, 10_000], 10);
    check(Rate::per_second((10, 5)), 1, &[0, 100, 200, 300, 400, 500, 600, 700], 8);
    check(Rate::new(60, 60_000, 60), 100, &[5_000, 6_000], 61);
    check(Rate::per_second((0, 0)), 5, &[0, 999], 1);
}

#[test]
fn a_clock_that_steps_back_opens_nothing() {
    check(Rate::per_second((10, 5)), 100, &[1_000, 0, 500], 5);
}

#[test]
fn the_wait_is_what_it_says() {
    let limiter = Limiter::<String>::new(Rate::per_second((10, 1)), 1_000);
    assert_eq!(limiter.wait_ms("key", 0), None);
    assert_eq!(limiter.take("key", 0), Ok(()));
    assert_eq!(limiter.take("key", 0), Err(100));
    assert_eq!(limiter.wait_ms("key", 40), Some(60));
    assert_eq!(limiter.take("key", 99), Err(1));
    assert_eq!(limiter.take("key", 100), Ok(()));
}

#[test]
fn who_books_waits_for_those_before() {
    let limiter = Limiter::<String>::new(Rate::per_second((10, 2)), 1_000);
    let booked: Vec<_> = (0..6).map(|_| limiter.book("key", 0, 300)).collect();
    assert_eq!(booked, [Ok(0), Ok(0), Ok(100), Ok(200), Ok(300), Err(400)]);
    assert_eq!(limiter.book("other", 0, 300), Ok(0));
    assert_eq!(limiter.book("key", 100, 300), Ok(300), "what was refused took nothing");
    assert_eq!(limiter.book("key", 10_000, 300), Ok(0));
    let flooded = Limiter::<u64>::new(Rate::new(1, 60_000, 1), 1_600);
    for key in 0..20_000_u64 {
        assert_eq!(flooded.book(&key, 1, 0), Ok(0));
    }
    assert!(flooded.len() <= 1_600, "{}", flooded.len());
}

#[test]
fn keys_do_not_share() {
    let limiter = Limiter::<u32>::new(Rate::per_second((1, 1)), 1_000);
    assert_eq!(limiter.take(&1, 0), Ok(()));
    assert_eq!(limiter.take(&2, 0), Ok(()));
    assert!(limiter.take(&1, 0).is_err());
}

#[test]
fn a_flood_of_keys_stays_bounded_and_forgets_the_idle_first() {
    let limiter = Limiter::<u64>::new(Rate::new(1, 60_000, 1), 1_600);
    for key in 0..20_000_u64 {
        let now_ms = 1 + key / 100;
        let _ = limiter.take(&key, now_ms);
        // The one that keeps coming must stay known, and stay refused.
        let busy = limiter.take(&u64::MAX, now_ms);
        assert_eq!(busy.is_ok(), key == 0, "forgotten at {key}");
    }
    assert!(limiter.len() <= 1_600, "{}", limiter.len());
}

#[test]
fn what_has_nothing_to_forget_goes_first() {
    let limiter = Limiter::<u64>::new(Rate::per_second((1_000, 1)), 160);
    for key in 0..10_000 {
        assert_eq!(limiter.take(&key, key * 10), Ok(()));
    }
    assert!(limiter.len() <= 160);
}
