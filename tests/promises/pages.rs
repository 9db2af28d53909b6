//! What the pages name is there: files, and the functions in them.

use std::fs;
use std::path::{Path, PathBuf};

/// The page that leads through the source, and its sections that name a function for every step.
const DESIGN: &str = include_str!("../../src/docs/design.md");
const SECTIONS: &[&str] = &["## The line that decides", "## One record's life"];

#[test]
fn every_function_that_the_design_names_is_in_its_file() {
    let names: Vec<_> = spans(DESIGN).filter_map(named).collect();
    let problems: Vec<_> = names.iter().filter_map(|(file, function)| missing(file, function)).collect();
    assert!(problems.is_empty(), "src/docs/design.md:\n{}", problems.join("\n"));
}

#[test]
fn every_step_of_a_records_life_names_its_functions() {
    for title in SECTIONS {
        let start = DESIGN.find(title).unwrap_or_else(|| panic!("there is no section {title}"));
        let section = &DESIGN[start + title.len()..];
        let section = &section[..section.find("\n## ").unwrap_or(section.len())];
        let steps: Vec<_> = steps(section).collect();
        assert!(steps.len() >= 10, "{title} has {} steps", steps.len());
        for step in steps {
            let places = spans(&step).filter(|span| named(span).is_some() || span.ends_with(".rs")).count();
            assert!(places > 0, "{title}: a step without a function: {step}");
        }
    }
}

#[test]
fn every_file_that_the_design_names_is_there() {
    for path in spans(DESIGN).filter(|span| span.ends_with(".rs") && !span.contains(' ')) {
        let of_rooms = ["src", "src/store/redis", ""].map(|base| root().join(base).join(path));
        assert!(of_rooms.iter().any(|file| file.is_file()), "there is no {path}");
    }
}

/// The table of decisions at the engine's door: [`Engine::f`], in `file.rs`.
#[test]
fn every_function_at_the_engines_door_is_in_its_file() {
    let door = fs::read_to_string(root().join("src/engine/mod.rs")).unwrap();
    let mut checked = 0;
    for line in door.lines().filter(|line| line.starts_with("//! | ")) {
        let mut functions = Vec::new();
        for span in spans(line) {
            if let Some(function) = span.strip_prefix("Engine::") {
                functions.push(function);
            } else if span.ends_with(".rs") {
                for function in functions.drain(..) {
                    checked += 1;
                    assert_eq!(missing(&format!("engine/{span}"), &format!("Engine::{function}")), None);
                }
            }
        }
        assert!(functions.is_empty(), "a function without a file: {line}");
    }
    assert!(checked >= 10, "{checked} functions were found");
}

#[test]
fn what_is_not_there_is_found() {
    assert_eq!(named("engine/claim.rs: Engine::claimed"), Some(("engine/claim.rs", "Engine::claimed")));
    assert_eq!(named("kafka/owned.rs: copy"), Some(("kafka/owned.rs", "copy")));
    assert_eq!(named("Engine::claimed"), None);
    assert_eq!(missing("engine/claim.rs", "Engine::claimed"), None);
    assert_eq!(missing("kafka/owned.rs", "copy"), None);
    assert!(missing("engine/claims.rs", "Engine::claimed").is_some(), "no such file");
    assert!(missing("engine/claim.rs", "Engine::claime").is_some(), "no such function");
    assert!(missing("engine/claim.rs", "Part::claimed").is_some(), "no such type");
    assert!(missing("engine/handle.rs", "Engine::advance_head").is_some(), "it is in another file");
}

/// What stands between backticks, but for blocks of code.
fn spans(page: &str) -> impl Iterator<Item = &str> {
    let prose = page.split("```").step_by(2);
    prose.flat_map(|prose| prose.split('`').skip(1).step_by(2))
}

/// `file.rs: Type::function` or `file.rs: function`.
fn named(span: &str) -> Option<(&str, &str)> {
    span.split_once(": ").filter(|(file, _)| file.ends_with(".rs"))
}

/// The rows of a table, and the items of a list.
fn steps(section: &str) -> impl Iterator<Item = String> {
    let mut steps: Vec<String> = Vec::new();
    for line in section.lines() {
        let item = line.starts_with("* ") || line.split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
        match steps.last_mut() {
            _ if item || (line.starts_with("| ") && line != "| question | where |") => steps.push(line.to_owned()),
            Some(step) if line.starts_with("  ") => step.push_str(line),
            _ => {}
        }
    }
    steps.into_iter()
}

/// Why a function is not where it is said to be.
fn missing(file: &str, function: &str) -> Option<String> {
    let Ok(source) = fs::read_to_string(root().join("src").join(file)) else {
        return Some(format!("there is no file {file}"));
    };
    let (of, name) = function.rsplit_once("::").unwrap_or(("", function));
    let word = |line: &str, word: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word);
    let has_type = of.is_empty() || source.lines().any(|line| line.starts_with("impl") && word(line, of));
    let has_function = source.lines().any(|line| {
        line.split_once("fn ").is_some_and(|(before, rest)| {
            !before.contains("//") && rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['(', '<']))
        })
    });
    (!has_type || !has_function).then(|| format!("there is no {function} in {file}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
