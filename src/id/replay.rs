//! Messages that were replayed from the dead letters.

use std::str;

use crate::record::Record;

use super::{IdProblem, Namespace};

/// The header of a replayed record: `<namespace> <n>`, such as `billing 1` for the first replay to the namespace
/// `billing`. A record may have one for each of several namespaces.
pub const REPLAY_HEADER: &str = "hapax-replay";

/// How often a record was replayed for `ours`; zero for an original.
///
/// The count is part of the identity in that namespace and in no other: there the replay is a new message although its
/// original is remembered as done, while all other readers of the topic still see a duplicate.
///
/// # Errors
///
/// [`IdProblem::Invalid`] where a header does not name a namespace, names ours twice, or gives us a count other than
/// 1 to 2⁶⁴−1 in plain digits. To ignore such a header would drop the replay as a duplicate. What a well-formed header
/// tells another namespace is not looked at.
pub fn replay_count(record: &Record, ours: &Namespace) -> Result<u64, IdProblem> {
    let mut count = None;
    for value in record.header_values(REPLAY_HEADER) {
        let text = value.and_then(|value| str::from_utf8(value).ok());
        let (namespace, n) = text
            .and_then(|text| text.split_once(' '))
            .filter(|(namespace, _)| Namespace::allows(namespace))
            .ok_or_else(|| invalid("is not `<namespace> <n>`"))?;
        if namespace != ours.as_str() {
            continue;
        }
        let n = read_count(n).ok_or_else(|| invalid("has a count that is not a number from 1, in plain digits"))?;
        if count.replace(n).is_some() {
            return Err(invalid("names this namespace more than once"));
        }
    }
    Ok(count.unwrap_or(0))
}

/// One spelling per number, and never zero: a replay that looked like the original would be dropped.
fn read_count(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse().ok() } else { None }
}

fn invalid(problem: &str) -> IdProblem {
    IdProblem::Invalid { part: format!("header {REPLAY_HEADER}").into(), problem: problem.to_owned() }
}
