//! Charts, as SVG by hand: three forms are all there is, and they must be read in light and dark.

mod axis;
mod bars;
mod canvas;
mod lines;
mod pairs;

pub(crate) use bars::{Bar, Bars};
pub(crate) use lines::{Line, Lines, Mark};
pub(crate) use pairs::{Pair, Pairs};

/// The colour of what is shown, by what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// What the service does.
    Ours,
    /// What the machine can do without it.
    Limit,
    /// Two more, where there are more lines.
    Second,
    Third,
}

impl Ink {
    const fn class(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Limit => "limit",
            Self::Second => "second",
            Self::Third => "third",
        }
    }
}
