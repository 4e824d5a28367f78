use super::*;

#[test]
fn a_worn_run_stands_in_a_queue_of_its_own() {
    let hub = Arc::new(Hub::default());
    let wakers: Vec<_> = (1..=4).map(|id| hub.waker(RunId(id))).collect();
    wakers.iter().for_each(|waker| waker.wake_by_ref());
    // Two wear out: one that waits for its turn, one that was just polled and wakes later.
    let first = hub.next_fresh().unwrap();
    assert_eq!(first, RunId(1));
    wakers[0].lower();
    assert!(wakers[0].wear() && wakers[2].wear());
    assert!(!wakers[0].wear(), "once");
    wakers[0].wake_by_ref();
    wakers[0].wake_by_ref();
    let all = |next: &dyn Fn() -> Option<RunId>| std::iter::from_fn(next).map(|id| id.0).collect::<Vec<_>>();
    assert!(hub.has_ready());
    assert_eq!(all(&|| hub.next_fresh()), [2, 4]);
    assert!(hub.has_ready());
    assert_eq!(all(&|| hub.next_worn()), [3, 1]);
    assert!(!hub.has_ready());
}
