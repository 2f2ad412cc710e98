//! Whether one JSON Schema accepts all that another does, as far as that can be seen.
//!
//! The question is undecidable in general and costly in particular; this answers it keyword by
//! keyword. "No" means "not proven".

use serde_json::{Map, Value};

/// Keywords that don't take part in validation.
const ANNOTATIONS: [&str; 14] = [
    "$schema",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
];

/// Keywords each of which only narrows, independent of its neighbours: to drop one relaxes.
const NARROWING: [&str; 12] = [
    "multipleOf",
    "pattern",
    "format",
    "uniqueItems",
    "not",
    "oneOf",
    "contains",
    "maxContains",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "$anchor",
];

/// Keywords that set a least value.
const LEAST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];

/// Keywords that set a greatest value.
const GREATEST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];

/// Keywords that see what their neighbours did: with one of them only equality proves anything.
const ENTANGLED: [&str; 5] =
    ["unevaluatedProperties", "unevaluatedItems", "$ref", "$dynamicRef", "$dynamicAnchor"];

/// Whether `new` accepts everything that `old` accepts.
///
/// One liberty is taken: a property that `old` didn't mention, and allowed as one of any, may
/// get a schema of its own. Nobody sends a name that has no meaning yet.
pub(super) fn relaxes(old: &Value, new: &Value) -> bool {
    Rules { new_names_are_unused: true }.relaxes(old, new)
}

#[derive(Clone, Copy)]
struct Rules {
    new_names_are_unused: bool,
}

impl Rules {
    fn relaxes(self, old: &Value, new: &Value) -> bool {
        let (Some(old), Some(new)) = (as_object(old), as_object(new)) else {
            // What is left is `false`, which accepts nothing.
            return *old == Value::Bool(false) || old == new;
        };
        if bare(&old) == bare(&new) && !is_entangled(&old) {
            return true;
        }
        if is_entangled(&old) || is_entangled(&new) {
            // A reference may point to a part that differs, so that annotations stay in.
            return old == new;
        }
        self.objects(&old, &new)
    }

    fn objects(self, old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
        new.keys().all(|key| match key.as_str() {
            "type" => types_widen(old, new),
            "enum" | "const" => values_widen(old, new),
            "required" => names(new).iter().all(|name| names(old).contains(name)),
            "properties" | "patternProperties" | "additionalProperties" => self.properties(old, new),
            "items" | "prefixItems" => self.items(old, new),
            "anyOf" => branches(old, "anyOf").is_some_and(|old| {
                old.iter()
                    .all(|o| branches(new, "anyOf").is_some_and(|n| n.iter().any(|n| self.relaxes(o, n))))
            }),
            "allOf" => branches(new, "allOf").is_some_and(|new| {
                new.iter()
                    .all(|n| branches(old, "allOf").is_some_and(|o| o.iter().any(|o| self.relaxes(o, n))))
            }),
            "minContains" => old.get(key) == new.get(key),
            "if" | "then" | "else" => ["if", "then", "else"].iter().all(|k| old.get(*k) == new.get(*k)),
            key if LEAST.contains(&key) => ordered(new.get(key), old.get(key)),
            key if GREATEST.contains(&key) => ordered(old.get(key), new.get(key)),
            key if NARROWING.contains(&key) => old.get(key) == new.get(key),
            key => ANNOTATIONS.contains(&key) || key.starts_with("x-"),
        }) && !raises_least_matches(old, new)
    }

    fn properties(self, old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
        let (old_named, new_named) = (named(old, "properties"), named(new, "properties"));
        if named(old, "patternProperties") != named(new, "patternProperties") {
            return false;
        }
        let any = Value::Bool(true);
        let old_rest = old.get("additionalProperties").unwrap_or(&any);
        let new_rest = new.get("additionalProperties").unwrap_or(&any);
        let kept =
            old_named.iter().all(|(name, old)| self.relaxes(old, new_named.get(name).unwrap_or(new_rest)));
        let added = new_named.iter().filter(|(name, _)| !old_named.contains_key(*name)).all(|(name, new)| {
            let was_sent = names(old).contains(&name.as_str());
            (self.new_names_are_unused && !was_sent) || self.relaxes(old_rest, new)
        });
        kept && added && self.relaxes(old_rest, new_rest)
    }

    fn items(self, old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
        let any = Value::Bool(true);
        old.get("prefixItems") == new.get("prefixItems")
            && self.relaxes(old.get("items").unwrap_or(&any), new.get("items").unwrap_or(&any))
    }
}

/// A schema as an object; `true` is the empty one.
fn as_object(schema: &Value) -> Option<Map<String, Value>> {
    match schema {
        Value::Object(map) => Some(map.clone()),
        Value::Bool(true) => Some(Map::new()),
        _ => None,
    }
}

/// Without what doesn't validate.
fn bare(schema: &Map<String, Value>) -> Map<String, Value> {
    schema
        .iter()
        .filter(|(k, _)| !ANNOTATIONS.contains(&k.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// Whether an entangled keyword stands anywhere in it. One as a property's name counts, too:
/// that only makes the answer more careful.
fn is_entangled(schema: &Map<String, Value>) -> bool {
    fn inside(value: &Value) -> bool {
        match value {
            Value::Object(map) => is_entangled(map),
            Value::Array(items) => items.iter().any(inside),
            _ => false,
        }
    }
    schema.keys().any(|k| ENTANGLED.contains(&k.as_str())) || schema.values().any(inside)
}

/// Dropping `minContains` beside `contains` is the one removal that can narrow: it defaults to 1.
fn raises_least_matches(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    old.contains_key("minContains") && !new.contains_key("minContains") && new.contains_key("contains")
}

fn types(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(many) => Some(many.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn types_widen(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    let (Some(old), Some(new)) = (types(old), types(new)) else { return false };
    old.iter().all(|t| new.contains(t) || (*t == "integer" && new.contains(&"number")))
}

/// The values that `enum` and `const` leave; `None` is any.
fn values(schema: &Map<String, Value>) -> Option<Vec<&Value>> {
    let listed = schema.get("enum").and_then(Value::as_array).map(|values| values.iter().collect::<Vec<_>>());
    match (schema.get("const"), listed) {
        (None, listed) => listed,
        (Some(only), None) => Some(vec![only]),
        (Some(only), Some(listed)) => Some(listed.into_iter().filter(|v| *v == only).collect()),
    }
}

fn values_widen(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    let (Some(old), Some(new)) = (values(old), values(new)) else { return false };
    old.iter().all(|value| new.contains(value))
}

fn names(schema: &Map<String, Value>) -> Vec<&str> {
    let list = schema.get("required").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn named(schema: &Map<String, Value>, key: &str) -> Map<String, Value> {
    schema.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn branches<'a>(schema: &'a Map<String, Value>, key: &str) -> Option<&'a Vec<Value>> {
    schema.get(key).and_then(Value::as_array)
}

/// Whether both are numbers in this order.
fn ordered(low: Option<&Value>, high: Option<&Value>) -> bool {
    match (low, high) {
        (Some(low), Some(high)) if low == high => true,
        (Some(low), Some(high)) => match (low.as_i64(), high.as_i64()) {
            (Some(low), Some(high)) => low <= high,
            _ => low.as_f64().zip(high.as_f64()).is_some_and(|(low, high)| low < high),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonschema::Draft;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn sees_relaxations() {
        for (old, new) in [
            (json!({"required": ["a", "b"]}), json!({"required": ["a"]})),
            (json!({"required": ["a"]}), json!({})),
            (json!({"type": "string"}), json!({"type": ["string", "null"]})),
            (json!({"type": "integer"}), json!({"type": "number"})),
            (json!({"enum": [1, 2]}), json!({"enum": [2, 1, 3]})),
            (json!({"const": 1}), json!({"enum": [1, 2]})),
            (json!({"minimum": 3}), json!({"minimum": 2.5})),
            (json!({"maxLength": 3}), json!({"maxLength": 4})),
            (json!({"pattern": "^a"}), json!({})),
            (json!({"properties": {"a": {"type": "string"}}}), json!({"properties": {"a": {}}})),
            (json!({"properties": {"a": true}}), json!({"properties": {"a": true, "b": {"type": "string"}}})),
            (
                json!({"additionalProperties": false}),
                json!({"properties": {"b": false}, "additionalProperties": false}),
            ),
            (json!({"properties": {"a": {"type": "string"}}}), json!({})),
            (json!({"additionalProperties": false}), json!({"additionalProperties": {"type": "string"}})),
            (json!({"items": {"type": "string"}}), json!({"items": true})),
            (
                json!({"anyOf": [{"type": "string"}]}),
                json!({"anyOf": [{"type": "null"}, {"type": "string"}]}),
            ),
            (
                json!({"title": "a", "$ref": "#/$defs/x", "$defs": {"x": true}}),
                json!({"title": "a", "$ref": "#/$defs/x", "$defs": {"x": true}}),
            ),
            (json!({"title": "a"}), json!({"description": "b", "x-order": 1})),
            (json!(false), json!({"type": "string"})),
            (json!({"type": "string"}), json!(true)),
        ] {
            assert!(relaxes(&old, &new), "{old} -> {new}");
        }
    }

    #[test]
    fn doubts_everything_else() {
        for (old, new) in [
            (json!({}), json!({"required": ["a"]})),
            (json!({}), json!({"type": "object"})),
            (json!({"type": ["string", "null"]}), json!({"type": "string"})),
            (json!({"type": "number"}), json!({"type": "integer"})),
            (json!({"enum": [1, 2]}), json!({"enum": [1]})),
            (json!({}), json!({"enum": [1]})),
            (json!({"minimum": 2}), json!({"minimum": 3})),
            (json!({}), json!({"minLength": 1})),
            (json!({"maximum": 2}), json!({"maximum": 1})),
            (json!({"pattern": "^a"}), json!({"pattern": "^b"})),
            (json!({"properties": {"a": true}}), json!({"properties": {"a": {"type": "string"}}})),
            (
                json!({"properties": {"a": true}}),
                json!({"properties": {"a": true}, "additionalProperties": false}),
            ),
            (
                json!({"properties": {"a": true}, "additionalProperties": false}),
                json!({"additionalProperties": false}),
            ),
            (json!({"required": ["b"]}), json!({"required": ["b"], "properties": {"b": {"type": "string"}}})),
            (json!({"items": true}), json!({"items": {"type": "string"}})),
            (json!({"prefixItems": [true], "items": false}), json!({"items": false})),
            (
                json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
                json!({"anyOf": [{"type": "string"}]}),
            ),
            (json!({"contains": true, "minContains": 0}), json!({"contains": true})),
            (
                json!({"if": {"type": "string"}, "then": true}),
                json!({"if": {"type": "string"}, "then": false}),
            ),
            (
                json!({"$ref": "#/$defs/x", "$defs": {"x": true}}),
                json!({"$ref": "#/$defs/x", "$defs": {"x": false}}),
            ),
            (json!({}), json!({"unevaluatedProperties": false})),
            (json!({}), json!({"newKeyword": 1})),
            (json!({"type": "string"}), json!(false)),
        ] {
            assert!(!relaxes(&old, &new), "{old} -> {new}");
        }
    }

    fn schemas() -> impl Strategy<Value = Value> {
        let types =
            prop::sample::subsequence(vec!["string", "integer", "number", "object", "array", "null"], 1..4);
        let leaf = prop_oneof![
            Just(json!(true)),
            Just(json!(false)),
            Just(json!({})),
            types.prop_map(|t| json!({"type": t})),
            (-2i32..3).prop_map(|n| json!({"minimum": n})),
            (-2i32..3).prop_map(|n| json!({"maximum": n})),
            (0u32..3).prop_map(|n| json!({"minLength": n})),
            (0u32..3).prop_map(|n| json!({"maxItems": n})),
            prop::collection::vec(-1i32..3, 1..3).prop_map(|v| json!({"enum": v})),
            Just(json!({"const": 1})),
            Just(json!({"uniqueItems": true})),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let name = prop::sample::select(vec!["a", "b", "c"]);
            let properties = prop::collection::btree_map(name.clone(), inner.clone(), 0..3);
            prop_oneof![
                (properties.clone(), prop::option::of(inner.clone())).prop_map(|(p, rest)| {
                    let mut schema = json!({"properties": p});
                    if let Some(rest) = rest {
                        schema["additionalProperties"] = rest;
                    }
                    schema
                }),
                (properties, prop::collection::btree_set(name, 0..3))
                    .prop_map(|(p, r)| json!({"type": "object", "properties": p, "required": r})),
                inner.clone().prop_map(|s| json!({"items": s})),
                (inner.clone(), inner.clone()).prop_map(|(p, i)| json!({"prefixItems": [p], "items": i})),
                (inner.clone(), 0u32..2).prop_map(|(s, n)| json!({"contains": s, "minContains": n})),
                inner.clone().prop_map(|s| json!({"not": s})),
                prop::collection::vec(inner.clone(), 1..3).prop_map(|s| json!({"anyOf": s})),
                prop::collection::vec(inner.clone(), 1..3).prop_map(|s| json!({"allOf": s})),
                (inner.clone(), inner).prop_map(|(i, t)| json!({"if": i, "then": t})),
            ]
        })
    }

    /// A pair of which the second is the first with one thing changed: random pairs never relax.
    fn pairs() -> impl Strategy<Value = (Value, Value)> {
        (schemas(), schemas(), any::<prop::sample::Index>()).prop_map(|(old, other, index)| {
            let mut places = Vec::new();
            paths(&old, String::new(), &mut places);
            let mut new = old.clone();
            let place = &places[index.index(places.len())];
            if let Some(at) = new.pointer_mut(place) {
                *at = other;
            }
            (old, new)
        })
    }

    fn paths(value: &Value, path: String, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(k, v)| paths(v, format!("{path}/{k}"), out)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, v)| paths(v, format!("{path}/{i}"), out));
            }
            _ => {}
        }
        out.push(path);
    }

    fn instances() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            (-3i32..4).prop_map(|n| json!(n)),
            Just(json!(0.5)),
            "[ab]{0,3}".prop_map(|s| json!(s)),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|v| json!(v)),
                prop::collection::btree_map("[abc]", inner, 0..4).prop_map(|m| json!(m)),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_was_accepted_stays_accepted(
            (old, new) in pairs(),
            instances in prop::collection::vec(instances(), 20),
        ) {
            let build = |s: &Value| jsonschema::options().with_draft(Draft::Draft202012).build(s);
            let (Ok(before), Ok(after)) = (build(&old), build(&new)) else { return Ok(()) };
            if (Rules { new_names_are_unused: false }).relaxes(&old, &new) {
                for instance in instances.iter().filter(|i| before.is_valid(i)) {
                    prop_assert!(after.is_valid(instance), "{} -> {}: {}", old, new, instance);
                }
            }
        }

        #[test]
        fn a_schema_relaxes_itself(schema in schemas()) {
            prop_assert!(relaxes(&schema, &schema));
            prop_assert!(relaxes(&schema, &json!(true)));
            prop_assert!(relaxes(&json!(false), &schema));
        }
    }
}
