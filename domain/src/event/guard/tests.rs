//! The question byte by byte, and every kind of answer.

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::testing::{actors, document, documents, moments, tasks};

#[test]
fn the_question_has_a_webhooks_form() {
    let task = Task {
        id: Uuid::from_u128(1),
        created: Timestamp::from_micros(0),
        updated: Timestamp::from_micros(1),
        ttype_id: Uuid::from_u128(2),
        schema: "shop".to_owned(),
        semver: "1".to_owned(),
        state: None,
        resolved: false,
        phase: crate::Phase::Open,
        user_id: None,
        meta: Some(document(r#"{"cents":1.50, "a":"é"}"#)),
        output: None,
        external_id: None,
        priority: None,
        due_at: None,
        callback_url: None,
        merge_key: None,
        expires_at: None,
        supersedes: None,
        superseded_by: None,
        version: 1,
        ttype: "refund".to_owned(),
        decided_by: None,
        decided_at: None,
    };
    let decision = Decision {
        state: Some("granted".to_owned()),
        output: Some(document(r#"{"cents": 1.50}"#)),
        reason: Some("it broke".to_owned()),
        expected_version: Some(1),
    };
    let actor = Actor::key(Uuid::from_u128(3), "app");
    assert_eq!(
        question(&task, &decision, &actor, Timestamp::from_micros(2)),
        concat!(
            r#"{"type":"task.guard","timestamp":"1970-01-01T00:00:00.000002Z","data":{"task":"#,
            r#"{"id":"00000000-0000-0000-0000-000000000001","created":"1970-01-01T00:00:00.000000Z","#,
            r#""updated":"1970-01-01T00:00:00.000001Z","ttype_id":"00000000-0000-0000-0000-000000000002","#,
            r#""schema":"shop","semver":"1","state":null,"resolved":false,"phase":"open","user_id":null,"#,
            r#""meta":{"cents":1.50, "a":"é"},"output":null,"external_id":null,"priority":null,"due_at":null,"#,
            r#""callback_url":null,"merge_key":null,"version":1},"ttype":"refund","#,
            r#""transition":{"from":null,"to":"granted"},"#,
            r#""actor":{"kind":"key","id":"00000000-0000-0000-0000-000000000003","name":"app"},"#,
            r#""reason":"it broke","output":{"cents": 1.50}}}"#,
        )
    );
}

fn said(body: &str) -> Verdict {
    judge(200, body.as_bytes(), false)
}

fn failure(verdict: &Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Failed { outcome, .. } => Some(outcome),
        Verdict::Allowed | Verdict::Refused(_) => None,
    }
}

#[test]
fn silence_in_a_success_is_consent() {
    for status in [200, 202, 204, 299] {
        assert_eq!(judge(status, b"", false), Verdict::Allowed);
    }
    for allowed in [r#"{"allow":true}"#, r#" {"allow": true, "reason": "fine", "more": [1]} "#] {
        assert_eq!(said(allowed), Verdict::Allowed, "{allowed}");
    }
}

#[test]
fn a_refusal_needs_no_reason() {
    for (body, reason) in [
        (r#"{"allow":false}"#, None),
        (r#"{"allow":false,"reason":null}"#, None),
        (r#"{"allow":false,"reason":" \n"}"#, None),
        (r#"{"allow":false,"reason":"the order is shipped"}"#, Some("the order is shipped")),
        // A refusal whose reason is odd is a refusal: on_error must not let it pass.
        (r#"{"allow":false,"reason":{"code":7}}"#, None),
        (r#"{"reason":"a\u001b[31m\nb\u202e\u2028c\u0000","allow":false}"#, Some("a [31m b  c")),
    ] {
        assert_eq!(said(body), Verdict::Refused(reason.map(str::to_owned)), "{body}");
    }
    let long = format!(r#"{{"allow":false,"reason":"{}"}}"#, "é".repeat(MAX_REASON + 1));
    assert_eq!(said(&long), Verdict::Refused(Some("é".repeat(MAX_REASON))));
}

#[test]
fn everything_else_is_no_answer() {
    for body in [
        "<html>",
        "{}",
        "null",
        "true",
        "[true]",
        " ",
        r#"{"allow":"true"}"#,
        r#"{"allow":1}"#,
        r#"{"allow":true"#,
    ] {
        assert_eq!(failure(&said(body)), Some("answer"), "{body}");
    }
    // Saying both is saying nothing.
    assert_eq!(failure(&said(r#"{"allow":true,"allow":false}"#)), Some("answer"));
    assert_eq!(failure(&judge(200, &[0xff, 0xfe], false)), Some("answer"));
    // What goes on behind what was read may say otherwise.
    assert_eq!(failure(&judge(200, br#"{"allow":true}"#, true)), Some("answer"));
    for status in [100, 199, 300, 302, 400, 403, 410, 500, 503] {
        assert_eq!(failure(&judge(status, br#"{"allow":true}"#, false)), Some("status"), "{status}");
        assert_eq!(failure(&judge(status, b"", false)), Some("status"), "{status}");
    }
}

proptest! {
    #[test]
    fn a_question_holds_what_was_decided(
        task in tasks(),
        (state, reason) in (prop::option::of("[a-z]{1,5}"), prop::option::of("\\PC{0,20}")),
        output in prop::option::of(documents()),
        actor in actors(),
        now in moments(),
    ) {
        let decision = Decision { state, output, reason, expected_version: None };
        let text = question(&task, &decision, &actor, now);
        let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        prop_assert_eq!(
            body,
            json!({
                "type": "task.guard", "timestamp": now.to_string(), "data": {
                    "task": task, "ttype": task.ttype, "transition": {"from": task.state, "to": decision.state},
                    "actor": actor, "reason": decision.reason, "output": decision.output,
                },
            })
        );
    }

    #[test]
    fn only_what_says_so_allows(status in 0u16..700, body in prop::collection::vec(any::<u8>(), 0..40), cut: bool) {
        let consents = body.is_empty()
            || !cut && serde_json::from_slice::<serde_json::Value>(&body).is_ok_and(|v| v["allow"] == true);
        let verdict = judge(status, &body, cut);
        prop_assert_eq!(verdict == Verdict::Allowed, (200..300).contains(&status) && consents);
    }

    #[test]
    fn a_reason_is_legible(reason: String) {
        let body = json!({"allow": false, "reason": reason}).to_string();
        let Verdict::Refused(kept) = judge(200, body.as_bytes(), false) else { panic!("a refusal") };
        if let Some(kept) = kept {
            prop_assert!(!kept.is_empty() && kept.chars().count() <= MAX_REASON);
            prop_assert!(!kept.chars().any(char::is_control));
        }
    }
}
