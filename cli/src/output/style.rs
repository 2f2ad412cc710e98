//! Colours, and how much fits on a line: only what the terminal asks for.

use std::io::IsTerminal;

/// What a colour says. Every word is there without it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    Plain,
    /// What a column is called.
    Heading,
    /// As it should be.
    Good,
    /// Worth a look.
    Doubtful,
    /// Not as it should be.
    Bad,
}

/// Where a text goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    /// How many characters a line has, if there is an end to it.
    pub(crate) width: Option<usize>,
    colour: bool,
}

impl Screen {
    /// Without an end of the line or colours: a file, another program.
    pub(crate) const NONE: Self = Self { width: None, colour: false };

    /// What stdout is.
    pub(crate) fn stdout() -> Self {
        let stdout = std::io::stdout();
        Self::of(stdout.is_terminal(), terminal_size::terminal_size_of(&stdout))
    }

    /// What stderr is.
    pub(crate) fn stderr() -> Self {
        let stderr = std::io::stderr();
        Self::of(stderr.is_terminal(), terminal_size::terminal_size_of(&stderr))
    }

    fn of(is_terminal: bool, size: Option<(terminal_size::Width, terminal_size::Height)>) -> Self {
        if !is_terminal {
            return Self::NONE;
        }
        // https://no-color.org: set to anything but nothing.
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let width = size.map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0);
        Self { width, colour: !unwanted && !dumb }
    }

    /// A text in the colour of its tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Heading => "1",
            Tone::Good => "32",
            Tone::Doubtful => "33",
            Tone::Bad => "31",
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    #[cfg(test)]
    pub(crate) const fn of_width(width: usize, colour: bool) -> Self {
        Self { width: Some(width), colour }
    }
}
