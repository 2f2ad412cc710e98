//! Places and lines.

use super::*;

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);
const ANY: Places = Places { most: usize::MAX, are_earned: true };
const QUICK: Ended = Ended { works: Some(true), slow: false, bytes: 0 };
const SLOW: Ended = Ended { works: Some(true), slow: true, bytes: 0 };

/// Of what weighs nothing.
fn plain(total: usize, per_endpoint: usize, line: usize) -> Slots<usize> {
    Slots::new(total, per_endpoint, line, Weight { most: 1, of: |_| 0 })
}

/// Of which much good is known: endpoints have as many places as their caps let them.
fn proven(total: usize, per_endpoint: usize, line: usize) -> Slots<usize> {
    let slots = plain(total, per_endpoint, line);
    for endpoint in (1..=60).chain([99, 999]).map(Uuid::from_u128) {
        // Kept by what waits for it in the database.
        let entry = Endpoint { window: usize::MAX / 4, behind: false, ..Endpoint::default() };
        slots.state().endpoints.insert(endpoint, entry);
    }
    slots
}

/// Brings in so many; returns how many run.
fn bring(slots: &Slots<usize>, endpoint: Uuid, count: usize) -> usize {
    let taken = slots.take(endpoint, ANY, count);
    (0..taken).filter_map(|number| slots.admit(endpoint, number)).count()
}

#[test]
fn one_endpoint_never_takes_every_place() {
    let slots = proven(10, 4, 0);
    assert_eq!(bring(&slots, A, 100), 4);
    assert_eq!(bring(&slots, B, 100), 3, "half of the six that were left");
    assert!(slots.leave(A, QUICK).is_empty());
    assert_eq!(bring(&slots, A, 100), 1);
}

#[test]
fn an_endpoints_own_cap_holds_with_a_shorter_line() {
    let slots = proven(100, 10, 20);
    assert_eq!(slots.take(A, Places { most: 2, are_earned: true }, 100), 2 + 4);
    assert_eq!((0..6).filter_map(|number| slots.admit(A, number)).count(), 2);
    assert_eq!(slots.leave(A, QUICK), [2]);
    assert_eq!(slots.empty_line(A), [3, 4, 5]);
    assert!(slots.leave(A, QUICK).is_empty());
    assert_eq!(slots.take(A, ANY, 100), 9 + 20, "one is under way, and it is as any other");
}

#[test]
fn many_that_hang_leave_a_place() {
    let slots = proven(1024, 128, 384);
    for hanging in 1..=12 {
        while bring(&slots, Uuid::from_u128(hanging), 32) > 0 {}
    }
    assert!(slots.reserve(Uuid::from_u128(99), ANY));
    assert_eq!(slots.admit(Uuid::from_u128(99), 7), Some(7));
}

#[test]
fn many_that_are_slow_leave_places_for_the_quick() {
    let slots = proven(1024, 128, 0);
    for slow in 1..=60 {
        let endpoint = Uuid::from_u128(slow);
        // Nothing is known of it at first; one of two tells, while the other is under way.
        bring(&slots, endpoint, 2);
        slots.leave(endpoint, SLOW);
        bring(&slots, endpoint, 128);
    }
    // Less one for each, from when nothing was known of it.
    let free = slots.state().free;
    assert!(free >= 1024 / 8 - 60, "{free}");
    assert_eq!(bring(&slots, Uuid::from_u128(999), 32), 32);
}

#[test]
fn places_are_earned_by_deliveries() {
    let slots = plain(1024, 128, 384);
    assert_eq!(bring(&slots, A, 100), 2, "nothing is known of it");
    for moved_up in [3, 5, 9] {
        assert_eq!(slots.leave(A, QUICK).len(), moved_up, "twice as many are under way");
    }
    let failed = Ended { works: Some(false), slow: false, bytes: 0 };
    for _ in 0..10 {
        slots.leave(A, failed);
    }
    assert_eq!(slots.state().endpoints[&A].window, 2, "and lost by failures");
    let unmade = Ended { works: None, slow: true, bytes: 0 };
    slots.leave(A, unmade);
    let state = slots.state();
    let entry = &state.endpoints[&A];
    assert!(entry.window == 2 && !entry.slow, "what was not made says nothing");
}

#[test]
fn the_line_moves_up_in_its_order() {
    let slots = proven(10, 1, 2);
    assert!(slots.reserve(A, ANY) && slots.reserve(A, ANY) && slots.reserve(A, ANY));
    assert!(!slots.reserve(A, ANY), "the line is full");
    assert_eq!(slots.admit(A, 1), Some(1));
    assert_eq!(slots.admit(A, 2), None);
    assert_eq!(slots.admit(A, 3), None);
    assert_eq!(slots.leave(A, QUICK), [2]);
    assert_eq!(slots.leave(A, QUICK), [3]);
    assert!(slots.leave(A, QUICK).is_empty());
}

#[test]
fn the_lines_are_shared() {
    let slots = proven(16, 1, 12);
    let leases: Vec<usize> =
        (1..=6).map(|endpoint| slots.take(Uuid::from_u128(endpoint), ANY, 100)).collect();
    assert_eq!(leases[..3], [9, 5, 2], "a place, and half of what the lines have left");
    assert!(leases.iter().all(|count| *count > 0), "nobody is left without: {leases:?}");
    assert!(leases.iter().sum::<usize>() <= 16 + 6);
}

#[test]
fn a_slow_endpoint_has_no_line() {
    let slots = proven(10, 1, 4);
    assert_eq!(bring(&slots, A, 2), 1);
    assert_eq!(slots.leave(A, SLOW), [1]);
    assert_eq!(slots.take(A, ANY, 100), 0);
    assert!(slots.leave(A, QUICK).is_empty());
    assert_eq!(slots.take(A, ANY, 100), 5, "it was quick again");
}

#[test]
fn a_place_goes_to_another_line_if_its_own_is_empty() {
    let slots = proven(1, 1, 1);
    assert!(slots.reserve(A, ANY) && slots.reserve(B, ANY));
    assert_eq!(slots.admit(A, 1), Some(1));
    assert_eq!(slots.admit(B, 2), None, "no place in all");
    assert_eq!(slots.leave(A, QUICK), [2]);
}

#[test]
fn a_new_delivery_never_passes_those_that_wait() {
    let slots = proven(10, 1, 0);
    assert!(slots.reserve(A, ANY));
    assert_eq!(slots.admit(A, 1), Some(1));
    assert!(!slots.reserve(A, ANY), "over the cap");
    assert!(slots.leave(A, QUICK).is_empty());
    assert!(!slots.reserve(A, ANY), "one waits in the database");
    assert!(slots.wants_more(A));
    slots.set_behind(A, false);
    assert!(slots.reserve(A, ANY));
}

#[test]
fn the_database_is_asked_again_once_half_of_the_line_is_free() {
    let slots = proven(10, 1, 4);
    assert_eq!(bring(&slots, A, 5), 1);
    slots.set_behind(A, true);
    assert!(!slots.wants_more(A));
    slots.leave(A, QUICK);
    assert!(!slots.wants_more(A));
    slots.leave(A, QUICK);
    assert!(slots.wants_more(A));
}

#[test]
fn closed_slots_promise_nothing_and_give_up_their_lines() {
    let slots = proven(10, 1, 3);
    bring(&slots, A, 3);
    assert_eq!(slots.close(), [1, 2]);
    assert!(!slots.reserve(B, ANY));
    assert_eq!(slots.take(B, ANY, 1), 0);
    assert!(slots.leave(A, QUICK).is_empty());
    assert_eq!(slots.admit(B, 9), None, "there is a place, but nothing is sent any more");
    assert_eq!(slots.close(), [9]);
}

#[test]
fn hosts_of_a_pattern_earn_nothing_and_lose_nothing() {
    let slots = plain(1024, 128, 0);
    let pattern = Places { most: usize::MAX, are_earned: false };
    let taken = slots.take(A, pattern, 100);
    assert_eq!((0..taken).filter_map(|number| slots.admit(A, number)).count(), 100);
    for _ in 0..50 {
        slots.leave(A, Ended { works: None, slow: false, bytes: 0 });
    }
    assert_eq!(slots.take(A, pattern, 100), 78, "one that hangs takes nothing from the others");
}

#[test]
fn a_slow_endpoint_has_one_place_whatever_is_left() {
    let slots = plain(8, 8, 8);
    assert_eq!(bring(&slots, A, 1), 1);
    slots.state().free = 1;
    slots.state().endpoints.entry(B).or_default().slow = true;
    slots.state().endpoints.entry(B).or_default().behind = true;
    assert_eq!(slots.take(B, ANY, 4), 1, "or what stands in its line would wait in vain");
}

#[test]
fn what_is_heavy_waits_in_the_database() {
    let slots = Slots::new(100, 10, 20, Weight { most: 1000, of: |weight| *weight });
    let places = Places { most: 2, are_earned: true };
    let bring = |endpoint, weight| slots.reserve(endpoint, places).then(|| slots.admit(endpoint, weight));
    assert_eq!(bring(A, 200), Some(Some(200)));
    assert_eq!(bring(A, 200), Some(Some(200)));
    assert_eq!(bring(A, 200), Some(None), "in the line");
    assert_eq!(bring(A, 5), None, "it holds more than it leaves to all others");
    assert!(slots.is_behind(A) && !slots.wants_more(A));
    // What is left is for the others, each half of it; and one is always under way.
    assert_eq!(bring(B, 300), Some(Some(300)));
    assert_eq!(bring(B, 5), None);
    let other = Uuid::from_u128(3);
    assert_eq!(bring(other, 900), Some(Some(900)));
    assert_eq!(bring(other, 5), None);
    assert_eq!(slots.state().bytes, 1800);

    let ended = |bytes| Ended { bytes, ..QUICK };
    assert!(slots.leave(other, ended(900)).is_empty());
    assert!(slots.leave(A, ended(200)).is_empty(), "not yet");
    assert_eq!(slots.leave(B, ended(300)), [200], "now there is enough left");
    assert_eq!(slots.leave(A, ended(200)), [0_usize; 0]);
    assert_eq!(bring(A, 100), None, "older ones wait in the database");
    assert_eq!(slots.take(A, places, 1), 1);
    assert_eq!(slots.admit(A, 100), Some(100));
    assert!(slots.leave(A, ended(100)).is_empty());
    assert!(slots.leave(A, ended(200)).is_empty());
    assert_eq!(slots.state().bytes, 0);
}
