//! How a record's identity is found.

use std::fmt;
use std::sync::Arc;

use crate::record::Record;

use super::{IdProblem, Identity};

/// Finds the identity of a record.
///
/// An implementation must be pure: the same record gives the same answer, in every process and at every time. Two
/// answers for one message let its effect happen twice; one answer for two messages loses one of them.
pub trait Extract: fmt::Debug + Send + Sync + 'static {
    /// The record's identity. Its [`replay`](Identity::replay) is not this trait's matter: the
    /// [`Identifier`](super::Identifier) sets it.
    ///
    /// # Errors
    ///
    /// Why the record has none. After a problem that [is absent](IdProblem::is_absent), which [`IdProblem::Missing`],
    /// [`IdProblem::Null`] and [`IdProblem::Unread`] are, [`FirstOf`](super::FirstOf) asks the next extractor. Return
    /// another one where the ID is there but unusable.
    fn extract(&self, record: &Record) -> Result<Identity, IdProblem>;

    /// The whole rule of equality on one line: the extractor, its settings, its scope.
    ///
    /// Processes of one namespace compare it and refuse to work beside another rule, so it must stay the same for as
    /// long as the answers do, and change when they change.
    fn rule(&self) -> String;

    /// The extractor that a list asks in place of this one where other rules stand before it; `None` for this one.
    ///
    /// [`RecordKey`](super::RecordKey) has one: behind other rules its IDs are of a kind of their own.
    fn as_fallback(&self) -> Option<Arc<dyn Extract>> {
        None
    }
}

impl<E: Extract + ?Sized> Extract for Arc<E> {
    fn extract(&self, record: &Record) -> Result<Identity, IdProblem> {
        (**self).extract(record)
    }

    fn rule(&self) -> String {
        (**self).rule()
    }

    fn as_fallback(&self) -> Option<Arc<dyn Extract>> {
        (**self).as_fallback()
    }
}

/// An extractor from a closure; see [`extract_fn`].
#[derive(Clone)]
pub struct ExtractFn<F> {
    rule_name: Arc<str>,
    extract: F,
}

/// Makes an extractor of a closure.
///
/// `rule_name` stands for everything that the closure does: give it a new one, such as `order v2`, whenever the closure
/// gives another answer for any record than before.
///
/// # Examples
///
/// ```
/// use hapax::id::{Extract, IdProblem, Identity, MessageId, ScopeRule, extract_fn};
/// use hapax::record::{Record, TopicPartition};
///
/// // The first 16 bytes of the payload are the message's UUID.
/// let uuid = extract_fn("payload uuid v1", |record: &Record| {
///     let payload = record.payload().ok_or(IdProblem::Null { part: "payload".into() })?;
///     if payload.len() < 16 {
///         return Err(IdProblem::Invalid { part: "payload".into(), problem: "is shorter than a UUID".into() });
///     }
///     Ok(Identity::new(ScopeRule::Topic.scope_of(record)?, MessageId::new(payload.slice(..16))?))
/// });
///
/// let record = Record::builder(TopicPartition::new("orders", 0), 7).payload("0123456789abcdef and more").build();
/// assert_eq!(uuid.extract(&record)?.id.as_bytes(), b"0123456789abcdef");
/// # Ok::<(), IdProblem>(())
/// ```
pub fn extract_fn<F>(rule_name: impl Into<Arc<str>>, extract: F) -> ExtractFn<F>
where
    F: Fn(&Record) -> Result<Identity, IdProblem> + Send + Sync + 'static,
{
    ExtractFn { rule_name: rule_name.into(), extract }
}

impl<F> Extract for ExtractFn<F>
where
    F: Fn(&Record) -> Result<Identity, IdProblem> + Send + Sync + 'static,
{
    fn extract(&self, record: &Record) -> Result<Identity, IdProblem> {
        (self.extract)(record)
    }

    fn rule(&self) -> String {
        format!("own {}", quoted(&self.rule_name))
    }
}

impl<F> fmt::Debug for ExtractFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtractFn").field("rule_name", &self.rule_name).finish_non_exhaustive()
    }
}

/// A name as it stands in a rule: a JSON string. So no name can imitate another part of the rule or break its line, and
/// the text does not depend on the version of the compiler, as that of `{:?}` does.
pub(super) fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}
