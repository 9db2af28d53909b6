//! Where the state of each ID lives: in flight, done, or absent.
//!
//! ```text
//! absent ──claim──▶ in flight(token, attempts, origin) ──complete(token)──▶ done ──window ends──▶ absent
//!    ▲                 │            │
//!    │  release(token) │            └─ lease runs out ─▶ claimable as a suspect ─claim─▶ in flight
//!    │                 │                                          ▲────release, unstarted────┘
//!    └─────────────────┴─ after a failed attempt: idle(attempts), until its grace ends
//!
//! in flight ──give up(token, destination)──▶ in flight, given up ──complete(token)──▶ done
//!                                               │            ▲
//!                                               └──release──▶│ given up, until the window ends ──claim──┘
//! ```
//!
//! Every [`Store`] answers the same questions the same way; one conformance suite runs against each:
//!
//! | store | what it is |
//! |---|---|
//! | [`MemoryStore`] | the reference: tests, the demo, one process that may forget at its end |
//! | `RedisStore` (feature `redis`) | shared by all workers of a namespace |
//! | [`Cached`] | a local cache of done IDs in front of either |
//!
//! An exact store ([`MemoryStore::exact`]) also keeps what a message says of itself ([`MessageDetails`]), and tells a
//! [conflict](ClaimOutcome::Conflict): another payload under a done ID.
//!
//! Three rules carry the whole promise:
//!
//! * *In flight elsewhere is not a duplicate.* Only [`ClaimOutcome::Done`] lets an offset settle.
//! * *An unknown outcome is its own result* ([`StoreError::Unknown`]): never a success, never a failure.
//!   Ask again with the same token.
//! * *Complete always writes done*, whoever holds the lease: the effect did happen.

mod cache;
mod details;
mod error;
mod health;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod settings;
mod types;
mod verdict;

use futures_util::future::BoxFuture;

#[cfg(feature = "redis")]
pub use self::redis::{DoneMode, Estimate, Probe, RedisStore, RedisStoreBuilder};
pub use cache::{Cached, DoneCache};
pub use details::{DoneRecord, MessageDetails, PayloadHash};
pub use error::{Cause, OpenError, StoreError};
#[cfg(feature = "sidecar")]
pub(crate) use health::KEEP_A_LOG;
pub use health::{
    Breaker, FINDINGS, Finding, NodeHealth, Persistence, Refusal, RefusalKind, Server, Severity, StoreHealth,
};
pub use memory::MemoryStore;
pub use settings::{Agreement, LeaseTerms, SettingsError};
pub use types::{
    Claim, ClaimOutcome, Completion, CompletionOutcome, Destination, GiveUp, GiveUpOutcome, GivenBack, Lease, Release,
    ReleaseOutcome, RenewOutcome, State, Token,
};
pub use verdict::Verdict;

use crate::id::Fingerprint;

/// What a batch answers: one result per item, in the order of the items.
pub type Answers<T> = Vec<Result<T, StoreError>>;

/// The states of IDs within one namespace, asked and changed in batches.
///
/// Every call takes many items and answers each of them, in order; one item's failure says nothing of its neighbours.
/// The futures do not borrow the store, so a caller may keep several under way.
///
/// # Cancel safety
///
/// Dropping a returned future does not undo it: the commands may still execute. Whoever drops a claim must release
/// its token or let the lease run out; whoever drops a completion must send it again.
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// Agrees with all other processes of the namespace on the settings that decide what a fingerprint means.
    ///
    /// # Errors
    ///
    /// [`OpenError::Disagreement`] names the settings that differ from what the namespace was opened with;
    /// [`OpenError::Store`] when the store cannot be asked (retryable as its [`StoreError`] says).
    fn open<'a>(&'a self, agreement: &'a Agreement) -> BoxFuture<'a, Result<(), OpenError>>;

    /// How the store keeps done IDs, as the namespace's [`Agreement`] names it.
    fn mode(&self) -> &'static str;

    /// Whether the store keeps what a message says of itself ([`MessageDetails`]), so that it can tell a conflict and
    /// the first one's coordinates. Only then does a caller compute it: default false, and then nothing is computed.
    fn keeps_details(&self) -> bool {
        false
    }

    /// How long claims hold and done IDs are remembered.
    fn terms(&self) -> LeaseTerms;

    /// Takes IDs for one attempt each.
    ///
    /// Claiming again with the token that already holds the lease answers [`ClaimOutcome::Claimed`] with the same
    /// attempts and refreshes the lease.
    fn claim(&self, claims: Vec<Claim>) -> BoxFuture<'static, Answers<ClaimOutcome>>;

    /// Records IDs as done; written whoever holds the lease. The lease is deleted afterwards, whoever holds it: beside
    /// a done ID it has no purpose, and its holder learns from the next renewal that the effect happened elsewhere.
    fn complete(&self, completions: Vec<Completion>) -> BoxFuture<'static, Answers<CompletionOutcome>>;

    /// Lets leases hold for a whole term again, where the token still holds them. A lease that ran out and that nobody
    /// took over is still held.
    fn renew(&self, leases: Vec<Lease>) -> BoxFuture<'static, Answers<RenewOutcome>>;

    /// Gives leases back, where the token still holds them, run out or not. What stays of an ID ([`GivenBack`]) is kept
    /// for the grace.
    fn release(&self, releases: Vec<Release>) -> BoxFuture<'static, Answers<ReleaseOutcome>>;

    /// Notes of records that they are given up and where their copies go, where the token still holds the lease. It is
    /// answered before the copy is sent: the next owner finds [`ClaimOutcome::GivenUp`], sends the copy
    /// again, and does not call the handler. Otherwise a crash between the copy and the completion could have a message
    /// handled that lies in the dead-letter topic, and a replay would repeat its effect.
    ///
    /// The note stays with the ID, across takeovers and releases ([`GivenBack`] tells the exceptions), for the window;
    /// a completion ends it. A note that was found is not replaced. To ask again with the same token changes nothing.
    ///
    /// The default answers [`GiveUpOutcome::Unsupported`] to each: a store may do without the note. Then the copy is
    /// sent all the same, and a crash at that moment may have the message handled, too. A store that wraps another must
    /// pass this on.
    fn give_up(&self, items: Vec<GiveUp>) -> BoxFuture<'static, Answers<GiveUpOutcome>> {
        Box::pin(std::future::ready(items.iter().map(|_| Ok(GiveUpOutcome::Unsupported)).collect()))
    }

    /// Tells the state of each ID, changing nothing.
    fn inspect(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<State>>;

    /// Forgets done IDs, so that they are handled again; answers whether each was remembered. A lease stays.
    fn forget(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<bool>>;

    /// How the store is doing, as it was last seen; sends nothing. By default there is nothing to tell.
    fn health(&self) -> StoreHealth {
        StoreHealth::of("other")
    }
}
