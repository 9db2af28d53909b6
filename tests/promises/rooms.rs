//! A room imports only from rooms above it.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the library, from the top.
const ROOMS: &[&str] = &[
    "failpoint",
    "record",
    "id",
    "store",
    "observe",
    "telemetry",
    "dedup",
    "engine",
    "kafka",
    "error",
    "consumer",
    "sidecar",
    "cli",
];

#[test]
fn a_room_imports_only_from_rooms_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut problems = Vec::new();
    for file in rust_files(&source) {
        let place = file.strip_prefix(&source).expect("a file of src");
        let modules = modules(place);
        // lib.rs puts the rooms together, the binary only sees what lib.rs shows, and pages are no room.
        let Some(room) = modules.first().filter(|first| !["lib", "bin", "docs"].contains(&first.as_str())) else {
            continue;
        };
        let text = fs::read_to_string(&file).expect("a readable file");
        problems
            .extend(broken_rules(room, modules.len(), &text).into_iter().map(|p| format!("{}: {p}", place.display())));
    }
    assert!(problems.is_empty(), "a room imports only from rooms above it:\n{}", problems.join("\n"));
}

#[test]
fn what_breaks_the_rule_is_found() {
    let broken = |text| broken_rules("store", 2, text).len();
    assert_eq!(broken("use crate::engine::Event;"), 1);
    assert_eq!(broken("use crate::{id::Fingerprint, engine::{Event, Action}, kafka};"), 2);
    assert_eq!(broken("fn f() { let x = crate::cli::run(); }"), 1);
    assert_eq!(broken("use super::super::dedup::Guard;"), 1);
    assert_eq!(broken("mod tests { use super::super::super::dedup::Guard; }"), 1);
    assert_eq!(broken("use crate::Consumer;"), 1);
    assert_eq!(broken("use crate::*;"), 1);

    assert_eq!(broken("use crate::id::Fingerprint; use crate::store::memory::MemoryStore;"), 0);
    assert_eq!(broken("use super::super::id; use super::engine; mod tests { use super::super::engine; }"), 0);
    assert_eq!(
        broken("/// [`crate::engine::Event`]\n// crate::engine\n/* crate::cli */ const A: &str = \"crate::cli\";"),
        0
    );
    assert_eq!(broken("pub(crate) struct A; pub(in crate::store) struct B;"), 0);
    assert_eq!(broken_rules("observe", 1, "use crate::store::Verdict;").len(), 0);
    assert_eq!(broken_rules("hall", 1, "").len(), 1);
}

/// One sentence for each way in which a file of `room`, `depth` modules below the root of the crate, breaks the rule.
fn broken_rules(room: &str, depth: usize, text: &str) -> Vec<String> {
    let Some(level) = ROOMS.iter().position(|known| *known == room) else {
        return vec![format!("{room} is not in the order of the rooms")];
    };
    let mut problems = Vec::new();
    for taken in taken_from_the_root(depth, &tokens(text)) {
        match ROOMS.iter().position(|known| *known == taken) {
            Some(of) if of <= level => {}
            Some(_) => problems.push(format!("{room} takes from {taken}, which is below it")),
            None => problems.push(format!("{room} takes {taken} from the root of the crate: name the room it is in")),
        }
    }
    problems
}

/// The names that paths take from the crate's root, whether they begin with `crate` or climb there by `super`.
fn taken_from_the_root(depth: usize, tokens: &[String]) -> Vec<String> {
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    let mut taken = Vec::new();
    // For each open brace, whether it is the body of a module.
    let mut braces = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match token(at) {
            "{" => braces.push(at >= 2 && token(at - 2) == "mod"),
            "}" => drop(braces.pop()),
            start @ ("crate" | "super") if token(at + 1) == "::" && (at == 0 || token(at - 1) != "::") => {
                let mut next = at + 2;
                let mut climbed = usize::from(start == "super");
                while token(next) == "super" && token(next + 1) == "::" {
                    (next, climbed) = (next + 2, climbed + 1);
                }
                let here = depth + braces.iter().filter(|module| **module).count();
                if start == "crate" || climbed >= here {
                    taken.extend(first_names(tokens, next));
                }
                at = next;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    taken
}

/// The first names of the path, or of each path of the group, that begins at `at`.
fn first_names(tokens: &[String], at: usize) -> Vec<String> {
    if tokens.get(at).map(String::as_str) != Some("{") {
        return tokens.get(at).cloned().into_iter().collect();
    }
    let mut names = Vec::new();
    let mut depth = 0;
    for pair in tokens[at..].windows(2) {
        match pair[0].as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && ["{", ","].contains(&pair[0].as_str()) && !["}", "self"].contains(&pair[1].as_str()) {
            names.push(pair[1].clone());
        }
    }
    names
}

/// Identifiers, `::` and single characters, without comments, strings and characters.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_string(rest) {
            raw
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && is_char(rest) {
            quoted(rest, '\'')
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[skipped..];
    }
    // `pub(in crate::…)` tells who may see, not what is taken.
    let mut at = 0;
    while at + 1 < tokens.len() {
        if tokens[at] == "in" && tokens[at + 1] == "crate" && at > 0 && tokens[at - 1] == "(" {
            tokens.remove(at + 1);
        }
        at += 1;
    }
    tokens
}

/// The length of a literal with backslash escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            end if end == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string with which the text begins.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text.len() - body.len() + body.find(&end)? + end.len())
}

/// A character, not a lifetime.
fn is_char(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

/// The modules that lead to a file: `store/mod.rs` is `store`, `store/redis/scripts.rs` is `store`, `redis`, `scripts`.
fn modules(place: &Path) -> Vec<String> {
    let names = place.with_extension("");
    let mut names: Vec<_> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.pop_if(|last| last == "mod");
    names
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
