//! What the library complains of, in the words of whoever sets variables.

use std::collections::BTreeMap;

use super::problem::Problem;
use super::table;

/// The variable of a setting of the library, where there is one.
pub(in crate::sidecar) fn variable_of(setting: &str) -> Option<&'static str> {
    table::all().find(|variable| !variable.library.is_empty() && variable.library == setting).map(|found| found.name)
}

/// A problem of the library's. `properties` names the variables that set properties of librdkafka.
pub(super) fn problem(found: crate::error::Problem, properties: &BTreeMap<String, String>) -> Problem {
    let crate::error::Problem { setting, problem } = found;
    let own = || variable_of(&setting).map(str::to_owned);
    let kafka = || setting.contains('.').then(|| format!("HAPAX_KAFKA_{}", setting.to_uppercase().replace('.', "_")));
    let variable = properties.get(&setting).cloned().or_else(own).or_else(kafka).unwrap_or(setting);
    let text = in_variables(problem.strip_prefix("it ").unwrap_or(&problem));
    // What is wrong stands before the way out, in the library's sentences.
    let parts = text.split_once("; ").or_else(|| text.split_once(": "));
    match parts {
        Some((problem, way_out)) => Problem::new(variable, problem, way_out),
        None => Problem::new(variable, text, "see its line in `hapax config --markdown`"),
    }
}

/// Settings that are named in a sentence, as variables.
fn in_variables(text: &str) -> String {
    table::all()
        .filter(|variable| !variable.library.is_empty())
        .fold(text.to_owned(), |text, variable| text.replace(&format!("`{}`", variable.library), variable.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_librarys_settings_become_variables() {
        let translated = |setting: &str, problem: &str| {
            let found = crate::error::Problem { setting: setting.to_owned(), problem: problem.to_owned() };
            let properties = BTreeMap::from([("linger.ms".to_owned(), "HAPAX_KAFKA_PRODUCER_LINGER_MS".to_owned())]);
            super::problem(found, &properties).to_string()
        };
        assert_eq!(translated("drain_limit", "is too long; shorten it"), "HAPAX_DRAIN_LIMIT is too long; shorten it");
        assert_eq!(
            translated("linger.ms", "is wrong"),
            "HAPAX_KAFKA_PRODUCER_LINGER_MS is wrong; see its line in `hapax config --markdown`"
        );
        let named = translated("bootstrap.servers", "set `brokers` instead");
        assert!(named.starts_with("HAPAX_KAFKA_BOOTSTRAP_SERVERS set HAPAX_BROKERS instead"), "{named}");
    }
}
