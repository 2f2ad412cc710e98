//! `.env.example` and `docs/CONFIG.md`, made from the table.
//!
//! Both are committed; a test fails when they differ from what is made here.

use std::fmt::Write;

use super::variables::VARIABLES;

/// How to make the files anew.
const HOW: &str = "task-inbox config docs --write";

/// The text of `.env.example`: every variable, commented out.
pub fn env_example() -> String {
    let mut text = format!(
        "# Every setting of task-inbox. Copy to .env and take the # away from what you change.\n\
         # Flags override the environment, which overrides .env, which overrides task-inbox.toml.\n\
         # Made by `{HOW}`.\n"
    );
    for variable in VARIABLES {
        text.push('\n');
        for line in wrapped(&variable.about.replace('`', ""), 98) {
            let _ = writeln!(text, "# {line}");
        }
        if !variable.example.is_empty() {
            let _ = writeln!(text, "# For example: {}", variable.example);
        }
        let _ = writeln!(text, "#{}={}", variable.name, variable.default);
    }
    text
}

/// The text of `docs/CONFIG.md`.
pub fn markdown() -> String {
    let mut text = format!(
        "# Configuration\n\n\
         Flags override the environment, which overrides `.env`, which overrides `task-inbox.toml`; both files are\n\
         looked for in the working directory. In `task-inbox.toml` a key is the variable's name without\n\
         `TASK_INBOX_`, in lower case (`listen = \"0.0.0.0:8080\"`). A variable that is set to nothing is not set.\n\
         A value that doesn't read stops the process, with the variable's name and where it was set.\n\n\
         This page is made from the code by `{HOW}`.\n\n\
         | variable | default | |\n|---|---|---|\n"
    );
    for variable in VARIABLES {
        let default = match variable.default {
            "" => "none".to_owned(),
            default => format!("`{default}`"),
        };
        let _ = writeln!(text, "| `{}` | {default} | {} |", variable.name, variable.about);
    }
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().filter(|line| line.is_empty() || line.len() + word.len() < width);
        match last {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(path: &str) -> String {
        let path = std::path::PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where"))
            .join(path);
        std::fs::read_to_string(&path).unwrap_or_default()
    }

    #[test]
    fn what_is_committed_is_what_would_be_made() {
        assert!(committed(".env.example") == env_example(), ".env.example is old: {HOW}");
        assert!(committed("docs/CONFIG.md") == markdown(), "docs/CONFIG.md is old: {HOW}");
    }

    #[test]
    fn every_variable_is_named() {
        for variable in VARIABLES {
            assert!(env_example().contains(variable.name) && markdown().contains(variable.name));
        }
    }
}
