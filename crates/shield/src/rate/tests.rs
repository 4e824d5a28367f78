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

/// Who has used up all stays refused while a million others pass, each of whom could do no more than push out its like.
#[test]
fn a_million_sources_stay_bounded_and_nobody_who_is_refused_is_forgotten() {
    let rate = Rate::new(10, 60_000, 10);
    let rated = Rated::<u64>::new(16_000);
    for _ in 0..10 {
        assert_eq!(rated.take(rate, &u64::MAX, 1), Ok(()));
    }
    for key in 0..1_000_000_u64 {
        let now_ms = 1 + key / 250;
        assert_eq!(rated.take(rate, &key, now_ms), Ok(()));
        if key % 1_000 == 0 {
            let standing = rated.standing(rate, &u64::MAX, now_ms);
            assert_eq!(standing.remaining, 0, "{key} {standing:?}");
        }
    }
    assert!(rated.len() <= 16_000, "{}", rated.len());
    assert!(rated.take(rate, &u64::MAX, 4_000).is_err(), "it has waited for less than one");
    // The old ones are gone, the new ones are there.
    assert_eq!(rated.standing(rate, &1, 4_002).remaining, 10);
    assert_eq!(rated.standing(rate, &999_999, 4_002).remaining, 9);
}

/// A key of a long window that has used little goes before one of a short window that has used all.
#[test]
fn rates_of_other_lengths_are_compared() {
    let (short, long) = (Rate::new(1, 2_000, 1), Rate::new(1_000, 86_400_000, 1_000));
    let rated = Rated::<u64>::new(1_600);
    assert_eq!(rated.take(short, &u64::MAX, 1), Ok(()));
    for key in 0..50_000_u64 {
        assert_eq!(rated.take(long, &key, 2), Ok(()));
    }
    assert!(rated.take(short, &u64::MAX, 2).is_err());
}

#[test]
fn how_one_stands() {
    let rated = Rated::<u32>::new(1_600);
    let rate = Rate::new(10, 1_000, 4);
    let check = |now_ms: u64, remaining: u64, reset_ms: u64| {
        assert_eq!(rated.standing(rate, &1, now_ms), Left { remaining, reset_ms }, "{now_ms}");
    };
    check(0, 4, 0);
    for left in (0..4).rev() {
        assert_eq!(rated.take(rate, &1, 0), Ok(()));
        check(0, left, if left == 0 { 100 } else { 400 - left * 100 });
    }
    check(99, 0, 1);
    check(100, 1, 300);
    check(400, 4, 0);
    assert_eq!(rated.len(), 1, "asking is not taking");
    let quota = |count, period_ms, burst| Rate::new(count, period_ms, burst).quota();
    assert_eq!(quota(10, 1_000, 10), (10, 1));
    assert_eq!(quota(20, 1_000, 40), (40, 2));
    assert_eq!(quota(1_000, 3_600_000, 1_000), (1_000, 3_600));
    assert_eq!(quota(100, 1_000, 5), (5, 1));
}
