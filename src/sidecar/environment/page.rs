//! The variables as a page.

use super::table::variables;
use super::variable::{Kind, Variable};

/// Those that nearly everybody sets.
const SHORT: [&str; 12] = [
    "HAPAX_BROKERS",
    "HAPAX_GROUP",
    "HAPAX_TOPICS",
    "HAPAX_REDIS_URL",
    "HAPAX_ID",
    "HAPAX_ID_SCOPE",
    "HAPAX_PUSH_URL",
    "HAPAX_DEAD_LETTER_TOPIC",
    "HAPAX_ORDER",
    "HAPAX_WINDOW",
    "HAPAX_HANDLER_TIME_LIMIT",
    "HAPAX_DELIVERY",
];

/// All variables, a table for each group, in Markdown.
pub fn page() -> String {
    let mut page = String::new();
    for group in variables() {
        page.push_str(&format!("### {}\n\n{HEAD}", group.title));
        group.variables.iter().for_each(|variable| page.push_str(&line(variable)));
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// The dozen that nearly everybody sets, in Markdown.
pub fn short_page() -> String {
    let all = || variables().into_iter().flat_map(|group| group.variables);
    let lines = SHORT.iter().filter_map(|name| all().find(|variable| variable.name == *name));
    lines.fold(HEAD.to_owned(), |page, variable| page + &line(variable))
}

const HEAD: &str = "| variable | takes | default | what it is for |\n|---|---|---|---|\n";

fn line(variable: &Variable) -> String {
    let notes = match (variable.required, variable.delivery) {
        (true, Some(delivery)) => format!(" **Required** with `{delivery}`."),
        (true, None) if variable.redis => " **Required** with `HAPAX_STORE=redis`.".to_owned(),
        (true, None) => " **Required**.".to_owned(),
        (false, Some(delivery)) => format!(" (`{delivery}`)"),
        (false, None) => String::new(),
    };
    let file = variable.file().map(|file| format!(", `{file}`")).unwrap_or_default();
    let default = if variable.default.is_empty() { String::new() } else { format!("`{}`", variable.default) };
    let takes = match variable.kind {
        // As code, for an example may hold what Markdown would take for its own.
        Kind::Like(example) => format!("`{example}`"),
        kind => kind.shown(),
    };
    format!("| `{}`{file} | {takes} | {default} | {}{notes} |\n", variable.name, variable.help)
}
