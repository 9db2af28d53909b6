//! Which records may be handled side by side.

/// Which records are handled one after the other.
///
/// In every order claims are made ahead and completions are recorded behind, so that order costs no round trip per
/// record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// All records of a partition, as the broker delivers them: the default, for a loop that is wrapped must not get a
    /// weaker order than it had. As many handlers run at once as partitions are assigned.
    #[default]
    Partition,
    /// The records of one key in one partition; those of other keys run meanwhile. Records without a key are ordered
    /// among themselves. A record that fails holds up its key only.
    Key,
    /// None: every record runs as soon as there is a turn for it.
    Unordered,
}
