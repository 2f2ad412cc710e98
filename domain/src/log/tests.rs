//! The chain shows every change.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::testing::events;
use crate::{EventType, Timestamp};

fn hash_of(events: &[(Event, Hash)]) -> Hash {
    let mut batch = Batch::default();
    for (event, digest) in events {
        batch.push(event, digest);
    }
    advance(&GENESIS, &batch.finish())
}

fn digested(events: Vec<Event>) -> Vec<(Event, Hash)> {
    events.into_iter().map(|e| (e.clone(), digest(&[9; 32], e.body.as_bytes()))).collect()
}

#[test]
fn hashes_are_sha_256() {
    assert_eq!(hex(&digest(b"a", b"bc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(
        hex(&advance(&GENESIS, &GENESIS)),
        "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"
    );
    assert_eq!(
        hex(&Batch::default().finish()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

#[test]
fn checkpoints_prove_themselves() {
    let checkpoint = Checkpoint::sign(b"key", 7, &[3; 32], Timestamp::from_micros(5));
    assert!(checkpoint.is_authentic(b"key"));
    assert!(!checkpoint.is_authentic(b"kez"));
    let text = serde_json::to_string(&checkpoint).expect("plain fields");
    assert_eq!(serde_json::from_str::<Checkpoint>(&text).expect("own text"), checkpoint);
    let altered = [
        Checkpoint { seq: 8, ..checkpoint.clone() },
        Checkpoint { hash: hex(&[4; 32]), ..checkpoint.clone() },
        Checkpoint { created: Timestamp::from_micros(6), ..checkpoint.clone() },
        Checkpoint { signature: String::new(), ..checkpoint.clone() },
        Checkpoint { signature: "é".repeat(32), ..checkpoint.clone() },
        Checkpoint { signature: checkpoint.signature.to_uppercase(), ..checkpoint.clone() },
        Checkpoint { signature: checkpoint.signature[2..].to_owned(), ..checkpoint.clone() },
    ];
    for other in altered {
        assert!(!other.is_authentic(b"key"), "{other:?}");
    }
}

#[test]
fn a_sign_is_no_digit() {
    assert_eq!(unhex("0f"), Some(vec![15]));
    for text in ["+f", "-f", "0", "0F", " f", "0x"] {
        assert_eq!(unhex(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn hexadecimal_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
    }

    #[test]
    fn any_changed_field_changes_the_hash(
        events in prop::collection::vec(events(), 1..5),
        at in any::<prop::sample::Index>(),
        field in 0usize..9,
    ) {
        let log = digested(events);
        let mut other = log.clone();
        let (event, digest) = at.get(&other).clone();
        let mut changed = (event, digest);
        let event = &mut changed.0;
        match field {
            0 => event.id = Uuid::from_u128(event.id.as_u128().wrapping_add(1)),
            1 => {
                event.kind = match event.kind {
                    EventType::TaskCreated => EventType::TaskStateChanged,
                    _ => EventType::TaskCreated,
                }
            }
            2 => event.created = Timestamp::from_micros(event.created.as_micros().wrapping_add(1)),
            3 => event.actor.push('x'),
            4 => event.schema.push('x'),
            5 => event.ttype = event.ttype.take().map_or_else(|| Some("t".to_owned()), |_| None),
            6 => event.task_id = event.task_id.map_or_else(|| Some(Uuid::nil()), |_| None),
            7 => event.version = event.version.map_or(Some(1), |v| Some(v + 1)),
            _ => changed.1[0] ^= 1,
        }
        other[at.index(log.len())] = changed;
        prop_assert_ne!(hash_of(&log), hash_of(&other));
    }

    #[test]
    fn text_moved_between_fields_changes_the_hash(events in prop::collection::vec(events(), 1..3)) {
        let log = digested(events);
        let mut other = log.clone();
        let event = &mut other[0].0;
        let moved = event.actor.pop().expect("not empty");
        event.schema.insert(0, moved);
        prop_assert_ne!(hash_of(&log), hash_of(&other));
    }

    #[test]
    fn removed_added_or_swapped_events_change_the_hash(
        events in prop::collection::vec(events(), 2..6),
        at in any::<prop::sample::Index>(),
    ) {
        let log = digested(events);
        let i = at.index(log.len() - 1);
        let mut shorter = log.clone();
        shorter.remove(i);
        prop_assert_ne!(hash_of(&log), hash_of(&shorter));
        let mut longer = log.clone();
        longer.push(log[i].clone());
        prop_assert_ne!(hash_of(&log), hash_of(&longer));
        let mut swapped = log.clone();
        swapped.swap(i, i + 1);
        prop_assert_eq!(hash_of(&log) == hash_of(&swapped), log[i] == log[i + 1]);
    }

    #[test]
    fn salt_and_body_both_count(salt in any::<[u8; 32]>(), body in prop::collection::vec(any::<u8>(), 0..40), flip in 1u8..) {
        let mut other = salt;
        other[0] ^= flip;
        prop_assert_ne!(digest(&salt, &body), digest(&other, &body));
        let longer: Vec<u8> = body.iter().copied().chain([flip]).collect();
        prop_assert_ne!(digest(&salt, &body), digest(&salt, &longer));
    }

    #[test]
    fn the_head_depends_on_all_before(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
        prop_assert_eq!(advance(&a, &b) == advance(&b, &a), a == b);
        prop_assert_ne!(advance(&advance(&GENESIS, &a), &b), advance(&GENESIS, &b));
    }
}
