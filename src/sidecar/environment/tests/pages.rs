//! The pages hold what the table says.

use super::super::{page, short_page, table};

const BEGIN: &str = "<!-- variables: begin -->\n";
const END: &str = "<!-- variables: end -->";

/// What stands between the marks of a page.
fn between(text: &str) -> &str {
    let (_, rest) = text.split_once(BEGIN).expect("the page has a mark where the variables begin");
    rest.split_once(END).expect("the page has a mark where the variables end").0.trim()
}

#[test]
fn the_page_of_variables_is_the_tables() {
    let shown = between(include_str!("../../../docs/configuration.md"));
    assert!(shown == page().trim(), "put `hapax config --markdown` between the marks of src/docs/configuration.md");
}

#[test]
fn the_readme_shows_those_that_matter() {
    let shown = between(include_str!("../../../../README.md"));
    assert!(shown == short_page().trim(), "put this between the marks of README.md:\n{}", short_page());
}

#[test]
fn names_are_told_apart_from_those_of_kubernetes() {
    let mut seen = Vec::new();
    for variable in table::all() {
        assert!(variable.name.starts_with("HAPAX_") && !seen.contains(&variable.name), "{}", variable.name);
        assert!(!variable.name.ends_with("_PORT") && !variable.name.ends_with("_HOST"), "{}", variable.name);
        assert!(variable.help.ends_with('.') && !variable.help.contains('|'), "{}", variable.name);
        let (named, flag) = variable.flag();
        assert!(flag.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{flag}");
        assert_eq!(variable.secret, named != variable.name, "a secret is given as a file only: {flag}");
        seen.push(variable.name);
    }
}
