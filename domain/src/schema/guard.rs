//! `guard`: the application server, asked before a task is moved.

use std::time::Duration;

/// Whom to ask before a transition is made, and what holds if nobody answers.
///
/// It is asked once, outside any transaction, and its answer holds for the version of the task that it
/// was asked about. [`crate::event::guard`] has the question and what an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Absolute http or https URL.
    pub url: String,
    /// The hard end of asking.
    pub timeout: Duration,
    /// What holds if it can't be asked.
    pub on_error: OnError,
    /// The states whose entering is guarded (`None` in it is unset); `None`: every state.
    pub states: Option<Vec<Option<String>>>,
}

impl Guard {
    /// How long is waited for an answer where nothing is said.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// The longest that may be waited: a person waits with it.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(15);

    /// Whether entering a state is guarded.
    pub fn is_of(&self, to: Option<&str>) -> bool {
        self.states.as_ref().is_none_or(|states| states.iter().any(|state| state.as_deref() == to))
    }
}

/// `on_error`: what holds where a guard can't be asked, or says nothing that can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnError {
    /// The transition is made; its event says that nobody was asked.
    Allow,
    /// The transition is not made (the default).
    #[default]
    Deny,
}

impl OnError {
    /// Its name in a schema file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}
