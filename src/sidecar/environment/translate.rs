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
    let of_table = table::all()
        .find(|variable| variable.name == setting || (!variable.library.is_empty() && variable.library == setting));
    let kafka = || setting.contains('.').then(|| format!("HAPAX_KAFKA_{}", setting.to_uppercase().replace('.', "_")));
    let variable = properties.get(&setting).cloned().or_else(|| of_table.map(|found| found.name.to_owned()));
    let variable = variable.or_else(kafka).unwrap_or_else(|| setting.clone());
    if let Some((problem, way_out)) = without_values(of_table.map_or(&*setting, |found| found.name), &problem) {
        return Problem::new(variable, problem, way_out);
    }
    let text = in_variables(problem.strip_prefix("it ").unwrap_or(&problem));
    // What is wrong stands before the way out, in the library's sentences.
    match (text.split_once("; ").or_else(|| text.split_once(": ")), of_table.map_or("", |found| found.default)) {
        (Some((problem, way_out)), _) => Problem::new(variable, problem, way_out),
        (None, "") => Problem::new(variable, text, "change it, or unset it"),
        (None, default) => Problem::new(variable, text, format!("change it, or unset it for {default}, its default")),
    }
}

/// What is wrong and the way out, where the library's own sentence may hold a value: who wrote a program may see it,
/// whoever reads the log of a container need not.
fn without_values(variable: &str, problem: &str) -> Option<(&'static str, &'static str)> {
    Some(match variable {
        "HAPAX_DRAIN_LIMIT" => (
            "is more than half the poll interval: so long a drain would cost the partitions before their last commit",
            "shorten it, or lengthen HAPAX_KAFKA_MAX_POLL_INTERVAL_MS, 300000 by default",
        ),
        "HAPAX_LEASE" if problem.contains("renewal") => (
            "does not outlast HAPAX_HANDLER_TIME_LIMIT, and renewal is off: another worker would take over what still runs",
            "choose a quarter more than that limit, or HAPAX_RENEWAL=true",
        ),
        "HAPAX_WINDOW" => {
            ("is out of range", "choose 2s or more, at most ten years; HAPAX_DONE_MODE=exact takes less than 2s, too")
        }
        "HAPAX_LEASE" | "HAPAX_GRACE" => ("is out of range", "choose from 1ms to ten years"),
        "HAPAX_DEAD_LETTER_TOPIC" if problem.contains("is read") => {
            ("is in HAPAX_TOPICS, so a dead letter would come back without end", "name another topic")
        }
        "HAPAX_RETRY_TOPICS" if problem.contains("a topic to read") => {
            ("has a topic that is in HAPAX_TOPICS", "take it out of HAPAX_TOPICS: retry topics are read anyway")
        }
        "HAPAX_RETRY_TOPICS" if problem.contains("dead-letter") => {
            ("has a topic that is the dead-letter topic, too", "name another topic for one of them")
        }
        "HAPAX_RETRY_TOPICS" => {
            ("has a topic twice, or one without a name", "give each step a topic of its own, and at most a day")
        }
        "HAPAX_PUSH_HEADERS" => (
            "has a name that no HTTP header made of a message may have",
            "give it another one, as in host=X-Origin-Host",
        ),
        _ => return None,
    })
}

/// Settings that are named in a sentence, as variables.
fn in_variables(text: &str) -> String {
    let mut named: Vec<_> = table::all().filter(|variable| !variable.library.is_empty()).collect();
    // The longest first: the name of one may begin as another's does.
    named.sort_by_key(|variable| std::cmp::Reverse(variable.library.len()));
    let text = named.into_iter().fold(text.to_owned(), |text, variable| {
        let text = text.replace(&format!("`{}`", variable.library), variable.name);
        // A word without an underscore is a word.
        if variable.library.contains('_') { text.replace(variable.library, variable.name) } else { text }
    });
    text.replace("a dead-letter topic; name one", "a dead-letter topic; name one in HAPAX_DEAD_LETTER_TOPIC")
        .replace("max.poll.interval.ms", "HAPAX_KAFKA_MAX_POLL_INTERVAL_MS")
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
        assert_eq!(translated("order", "is wrong; choose `topics`"), "HAPAX_ORDER is wrong; choose HAPAX_TOPICS");
        assert_eq!(
            translated("max_in_flight", "is below max_in_flight_bytes"),
            "HAPAX_MAX_IN_FLIGHT_RECORDS is below HAPAX_MAX_IN_FLIGHT_BYTES; change it, or unset it for 10000, its default"
        );
        let hidden = translated("dead_letter_topic", "hunter2 is read by this consumer; name another");
        assert!(hidden.starts_with("HAPAX_DEAD_LETTER_TOPIC") && !hidden.contains("hunter2"), "{hidden}");
        assert_eq!(
            translated("linger.ms", "is wrong"),
            "HAPAX_KAFKA_PRODUCER_LINGER_MS is wrong; change it, or unset it"
        );
        let named = translated("bootstrap.servers", "set `brokers` instead");
        assert!(named.starts_with("HAPAX_KAFKA_BOOTSTRAP_SERVERS set HAPAX_BROKERS instead"), "{named}");
    }
}
