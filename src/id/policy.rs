//! What becomes of a record: its fingerprint, or the policy for a record without an ID.

use std::sync::Arc;

use crate::record::{Origin, Record};

use super::{CloudEvents, Coordinates, Extract, Fingerprint, IdKey, IdProblem, Identity, Namespace, replay_count};

/// What happens to a record without a usable ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdPolicy {
    /// Its partition stops with an error that names the problem and the ways out: the default, for nobody chose yet
    /// what may happen to such a record. Nothing is lost; nothing behind it is handled until a person acts.
    #[default]
    Stop,
    /// It is handled without de-duplication, at every delivery. Costs a repeated effect for each redelivery and each
    /// message sent twice.
    Process,
    /// It is identified by its [`Coordinates`]: redelivery is caught, what a producer sends twice is not. Costs one
    /// more remembered ID for each such record.
    Coordinates,
    /// It goes to the dead-letter topic, which the consumer must have. Nothing is lost, and nothing waits for a person.
    DeadLetter,
}

/// Gives records their fingerprints.
///
/// # Examples
///
/// ```
/// use hapax::id::{HeaderId, IdKey, IdPolicy, Identification, Identifier, Namespace};
/// use hapax::record::{Record, TopicPartition};
///
/// let identifier = Identifier::new(Namespace::new("billing")?)
///     .extractor(HeaderId::new("x-id"))
///     .key(IdKey::new(b"a secret of this deployment"))
///     .policy(IdPolicy::Coordinates);
/// let record = |offset| Record::builder(TopicPartition::new("orders", 0), offset).header("x-id", "a7").build();
/// let (first, resent) = (identifier.identify(&record(1)), identifier.identify(&record(2)));
/// assert!(matches!(first, Identification::Id { .. }));
/// assert_eq!(first, resent);
/// # Ok::<(), hapax::id::InvalidNamespace>(())
/// ```
#[derive(Clone, Debug)]
pub struct Identifier {
    extractor: Arc<dyn Extract>,
    key: IdKey,
    namespace: Namespace,
    policy: IdPolicy,
}

impl Identifier {
    /// Identifies for a namespace, as CloudEvents are ([`CloudEvents`]), without a secret ([`IdKey::default`]), with [`IdPolicy::Stop`].
    pub fn new(namespace: Namespace) -> Self {
        Self { extractor: Arc::new(CloudEvents::new()), key: IdKey::default(), namespace, policy: IdPolicy::default() }
    }

    /// Chooses where IDs come from.
    #[must_use]
    pub fn extractor(mut self, extractor: impl Extract) -> Self {
        self.extractor = Arc::new(extractor);
        self
    }

    /// Sets the secret that keys the fingerprints.
    #[must_use]
    pub fn key(mut self, key: IdKey) -> Self {
        self.key = key;
        self
    }

    /// Chooses what happens to records without a usable ID.
    #[must_use]
    pub fn policy(mut self, policy: IdPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Who handles the records.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Identifies a record. The same record gets the same answer, however often it is asked.
    pub fn identify(&self, record: &Record) -> Identification {
        let identity = match (self.identity(record), self.policy) {
            (Ok(identity), _) => identity,
            // Not counted as a replay, whatever its headers say: a replay lies at another place than its original.
            (Err(_), IdPolicy::Coordinates) => Coordinates::identity(record),
            (Err(_), IdPolicy::Process) => return Identification::Process,
            (Err(problem), IdPolicy::Stop) => return Identification::Stop(problem),
            (Err(problem), IdPolicy::DeadLetter) => return Identification::DeadLetter(problem),
        };
        Identification::Id { fingerprint: self.key.fingerprint(&identity), identity }
    }

    fn identity(&self, record: &Record) -> Result<Identity, IdProblem> {
        // Asked of every record, one with a usable ID included: a replay taken for its original would be dropped.
        let replay = replay_count(record, &self.namespace)?;
        Ok(Identity { replay, ..self.extractor.extract(record)? })
    }

    /// The whole rule of equality on one line, for [`Agreement::id_rule`](crate::store::Agreement::id_rule).
    ///
    /// The policy is no part of it: the fingerprint of coordinates is that of no other kind of ID, so processes with
    /// different policies are not blind to each other, and a partition that stopped may go on with another policy.
    pub fn rule(&self) -> String {
        self.extractor.rule()
    }

    /// A value that is the same for the same key and does not tell it, for
    /// [`Agreement::id_key_check`](crate::store::Agreement::id_key_check).
    pub fn key_check(&self) -> String {
        self.key.check_value()
    }
}

/// What is known of a record's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identification {
    /// It has an ID.
    Id {
        /// What the store knows it by.
        fingerprint: Fingerprint,
        /// What the fingerprint was made of. Shares the record's buffer.
        identity: Identity,
    },
    /// It has none: handle it without de-duplication ([`IdPolicy::Process`]).
    Process,
    /// It has none: stop its partition ([`IdPolicy::Stop`]) with a [`NoMessageId`].
    Stop(IdProblem),
    /// It has none: to the dead-letter topic ([`IdPolicy::DeadLetter`]).
    DeadLetter(IdProblem),
}

/// A partition stopped at a record without a usable ID.
///
/// Not retryable: the record stays as it is until the extractor, the policy or the committed offset is changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the record at {origin} has no usable message ID. Choose where IDs come from: a CloudEvent (the default: its id \
     within its source), a header, the record key, a JSON pointer into the payload, a hash of the content, the coordinates \
     (catch redelivery only), the first of several, or an extractor of your own; or choose what happens to records \
     without one: process (without de-duplication), coordinates or dead-letter, instead of stop"
)]
pub struct NoMessageId {
    /// Where the record lies.
    pub origin: Origin,
    /// Why it has no ID.
    #[source]
    pub problem: IdProblem,
}
