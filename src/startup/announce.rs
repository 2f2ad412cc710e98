//! Commits of a process that has no dispatcher: the others hear of them.

use uuid::Uuid;

use crate::bus::{Bus, Topic};
use crate::store::commit::Hooks;
use crate::store::deliveries::Leased;
use crate::store::registry::Endpoint;

/// Reserves nothing, and wakes whoever waits for events and deliveries.
pub(super) struct Announce(pub(super) Bus);

impl Hooks for Announce {
    fn reserve(&self, _: &Endpoint) -> bool {
        false
    }

    fn release(&self, _: Uuid) {}

    fn committed(&self, _: Vec<Leased>, events: bool, waiting: bool) {
        if events {
            self.0.publish(Topic::Log);
        }
        if waiting {
            self.0.publish(Topic::Due);
        }
    }
}
