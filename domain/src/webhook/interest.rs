//! What an endpoint asks to hear of.

use crate::EventType;

/// The most that an endpoint may name of each kind.
pub const MAX_NAMES: usize = 100;

/// Which events a registered endpoint gets. Each part that is said narrows it; what is not said is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Only events of these schemas.
    pub schemas: Option<Vec<String>>,
    /// Only events of tasks of types with these names.
    pub task_types: Option<Vec<String>>,
    /// Only these events; all but the operational ones if it is not said.
    pub event_types: Option<Vec<EventType>>,
    /// Only events of tasks that are in one of these states after it; `None` is unset.
    pub states: Option<Vec<Option<String>>>,
}

/// Which schemas somebody must hear of to be told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concerns<'a> {
    /// This one; empty if the event concerns none.
    Schema(&'a str),
    /// Each of these: what happens to an endpoint is for who may know of all that goes there.
    Schemas(&'a [String]),
    /// Every schema that there is.
    All,
}

/// What an event is about, as far as anybody asks.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The event's type.
    pub kind: EventType,
    /// The schemas that it concerns.
    pub concerns: Concerns<'a>,
    /// The type of its task.
    pub ttype: Option<&'a str>,
    /// The state of its task after it; `None` is unset.
    pub state: Option<&'a str>,
}

impl Interest {
    /// Whether events of this type are asked for at all.
    pub fn names(&self, kind: EventType) -> bool {
        match &self.event_types {
            Some(named) => named.contains(&kind),
            None => !kind.is_operational(),
        }
    }

    /// Whether this event is asked for. Who asks for task types or states, asks for events of tasks; but an
    /// operational event that is named by its own name is heard of whatever else is said of tasks.
    pub fn wants(&self, about: &About<'_>) -> bool {
        if !self.names(about.kind) || !self.hears_of(about.concerns) {
            return false;
        }
        if about.kind.is_operational() {
            return true;
        }
        let of_task = about.kind.is_of_a_task();
        let state_fits = match &self.states {
            Some(states) => of_task && states.iter().any(|state| state.as_deref() == about.state),
            None => true,
        };
        state_fits && in_names(self.task_types.as_deref(), about.ttype)
    }
}

impl Interest {
    fn hears_of(&self, concerns: Concerns<'_>) -> bool {
        let Some(named) = &self.schemas else { return true };
        match concerns {
            Concerns::Schema(schema) => named.iter().any(|name| name == schema),
            Concerns::Schemas(schemas) => schemas.iter().all(|schema| named.contains(schema)),
            Concerns::All => false,
        }
    }
}

fn in_names(names: Option<&[String]>, name: Option<&str>) -> bool {
    names.is_none_or(|names| name.is_some_and(|name| names.iter().any(|n| n == name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: Concerns<'_> = Concerns::Schema("shop");
    const POSTED: About<'_> =
        About { kind: EventType::TaskCreated, concerns: SHOP, ttype: Some("refund"), state: None };
    const DECIDED: About<'_> = About { kind: EventType::TaskStateChanged, state: Some("paid"), ..POSTED };
    const INSTALLED: About<'_> =
        About { kind: EventType::SchemaVersionCreated, concerns: SHOP, ttype: None, state: None };
    const DEAD: About<'_> = About { kind: EventType::DeliveryDead, ..INSTALLED };

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    fn wanted(interest: &Interest) -> Vec<bool> {
        [POSTED, DECIDED, INSTALLED, DEAD].iter().map(|about| interest.wants(about)).collect()
    }

    #[test]
    fn what_is_not_said_is_open_but_for_operational_events() {
        assert_eq!(wanted(&Interest::default()), [true, true, true, false]);
    }

    #[test]
    fn each_part_narrows() {
        let schema = |name| Interest { schemas: Some(texts(&[name])), ..Interest::default() };
        assert_eq!(wanted(&schema("shop")), [true, true, true, false]);
        assert_eq!(wanted(&schema("other")), [false; 4]);
        let ttype = Interest { task_types: Some(texts(&["refund", "x"])), ..Interest::default() };
        assert_eq!(wanted(&ttype), [true, true, false, false]);
        let states = |state: Option<&str>| Interest {
            states: Some(vec![state.map(str::to_owned)]),
            ..Interest::default()
        };
        assert_eq!(wanted(&states(None)), [true, false, false, false], "unset is a state");
        assert_eq!(wanted(&states(Some("paid"))), [false, true, false, false]);
        let kinds =
            Interest { event_types: Some(vec![EventType::SchemaVersionCreated]), ..Interest::default() };
        assert_eq!(wanted(&kinds), [false, false, true, false]);
    }

    #[test]
    fn what_happens_to_an_endpoint_is_for_who_hears_of_all_that_goes_there() {
        let asks = |schemas: Option<&[&str]>| Interest {
            schemas: schemas.map(texts),
            event_types: Some(vec![EventType::DeliveryDead]),
            ..Interest::default()
        };
        let (shop, both) = (texts(&["shop"]), texts(&["shop", "other"]));
        for (schemas, heard) in [
            (None, [true, true, true]),
            (Some(&["shop"][..]), [true, false, false]),
            (Some(&["other"]), [false, false, false]),
            (Some(&["other", "shop", "more"]), [true, true, false]),
        ] {
            let concerns = [Concerns::Schemas(&shop), Concerns::Schemas(&both), Concerns::All];
            let wants = concerns.map(|concerns| asks(schemas).wants(&About { concerns, ..DEAD }));
            assert_eq!(wants, heard, "{schemas:?}");
        }
    }

    #[test]
    fn operational_events_come_by_their_name() {
        let named = Interest {
            event_types: Some(vec![EventType::DeliveryDead, EventType::TaskStateChanged]),
            task_types: Some(texts(&["refund"])),
            states: Some(vec![Some("paid".to_owned())]),
            ..Interest::default()
        };
        assert_eq!(wanted(&named), [false, true, false, true]);
        let elsewhere = Interest { schemas: Some(texts(&["other"])), ..named };
        assert_eq!(wanted(&elsewhere), [false; 4]);
    }
}
