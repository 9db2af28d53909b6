//! What one ID may be like, given all that was asked and answered.

use std::collections::{BTreeMap, BTreeSet};

use hapax::id::Fingerprint;
use hapax::store::{
    Claim, ClaimOutcome, CompletionOutcome, GivenBack, LeaseTerms, MemoryStore, Release, ReleaseOutcome, RenewOutcome,
    State, Store, StoreError,
};
use rand::Rng;

use crate::conformance::{LONG, claim, completion, lease, until};

/// Holds what was given back; nobody asks by it.
const NOBODY: u8 = 0;

pub fn id() -> Fingerprint {
    crate::conformance::id(1)
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Claim {
        token: u8,
        takes_over: bool,
    },
    Complete {
        token: u8,
    },
    Renew {
        token: u8,
    },
    Release {
        token: u8,
        /// `None` where its handler never started.
        attempts: Option<u32>,
    },
    Inspect,
    /// Nobody asks for it: the lease of a worker with short terms runs out.
    Expire {
        token: u8,
    },
}

/// An answer, without the times in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    Claimed {
        attempts: u32,
        suspect: bool,
    },
    Done,
    InFlight,
    Suspect {
        attempts: u32,
    },
    Recorded,
    AlreadyDone,
    /// Of a renewal or a release: the token held the lease.
    Held,
    NotHeld,
    State(Known),
    Expired,
    /// A lease beside a done ID decides nothing: whether a token holds it may be answered either way.
    Either,
}

/// What became of a question.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    Answer(Answer),
    /// Executed, or not, or later.
    Unknown,
    /// Certainly not executed.
    NotExecuted,
}

impl Op {
    pub async fn ask(self, store: &impl Store) -> Outcome {
        let answer = match self {
            Self::Claim { token, takes_over } => {
                let claim = Claim { takes_over, ..claim(1, token) };
                store.claim(vec![claim]).await.remove(0).map(Answer::claim)
            }
            Self::Complete { token } => store.complete(vec![completion(1, token)]).await.remove(0).map(|outcome| {
                if outcome == CompletionOutcome::Recorded { Answer::Recorded } else { Answer::AlreadyDone }
            }),
            Self::Renew { token } => store
                .renew(vec![lease(1, token)])
                .await
                .remove(0)
                .map(|outcome| if outcome == RenewOutcome::Renewed { Answer::Held } else { Answer::NotHeld }),
            Self::Release { token, attempts } => {
                let given_back = attempts.map_or(GivenBack::Unstarted, |attempts| GivenBack::Failed { attempts });
                let release = Release { lease: lease(1, token), given_back };
                store
                    .release(vec![release])
                    .await
                    .remove(0)
                    .map(|outcome| if outcome == ReleaseOutcome::Released { Answer::Held } else { Answer::NotHeld })
            }
            Self::Inspect => store.inspect(vec![id()]).await.remove(0).map(Answer::state),
            Self::Expire { .. } => unreachable!("time asks nobody"),
        };
        match answer {
            Ok(answer) => Outcome::Answer(answer),
            Err(error) if error.may_have_executed() => Outcome::Unknown,
            Err(StoreError::Unavailable(_) | StoreError::Full(_)) => Outcome::NotExecuted,
            Err(error) => panic!("{self:?}: {error:?}"),
        }
    }
}

impl Answer {
    fn claim(outcome: ClaimOutcome) -> Self {
        match outcome {
            ClaimOutcome::Claimed { attempts, suspect } => Self::Claimed { attempts, suspect },
            ClaimOutcome::Done { .. } => Self::Done,
            ClaimOutcome::InFlight { .. } => Self::InFlight,
            ClaimOutcome::Suspect { attempts } => Self::Suspect { attempts },
            other => panic!("{other:?}"),
        }
    }

    pub fn state(state: State) -> Self {
        Self::State(match state {
            State::Absent => Known::Absent,
            State::InFlight { attempts, .. } => Known::InFlight { attempts },
            State::Expired { attempts } => Known::Expired { attempts },
            State::Idle { attempts } => Known::Idle { attempts },
            State::Done { .. } => Known::Done,
            other => panic!("{other:?}"),
        })
    }

    fn fits(self, given: Self) -> bool {
        self == given || self == Self::Either && matches!(given, Self::Held | Self::NotHeld)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    Absent,
    InFlight { attempts: u32 },
    Expired { attempts: u32 },
    Idle { attempts: u32 },
    Done,
}

/// The ID. Done is for ever: nothing here forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Model {
    Absent,
    Idle { attempts: u32 },
    Held { token: u8, attempts: u32, suspect: bool, live: bool },
    Done,
}

impl Model {
    fn apply(self, op: Op) -> (Self, Answer) {
        match (op, self) {
            (Op::Claim { .. }, Self::Done) => (self, Answer::Done),
            (Op::Claim { token, .. }, Self::Absent) => Self::taken(token, 0, false),
            (Op::Claim { token, .. }, Self::Idle { attempts }) => Self::taken(token, attempts, false),
            (Op::Claim { token, .. }, Self::Held { token: holder, attempts, suspect, .. }) if token == holder => {
                Self::taken(token, attempts, suspect)
            }
            (Op::Claim { .. }, Self::Held { live: true, .. }) => (self, Answer::InFlight),
            (Op::Claim { token, takes_over: true }, Self::Held { attempts, .. }) => {
                Self::taken(token, attempts + 1, true)
            }
            (Op::Claim { .. }, Self::Held { attempts, .. }) => (self, Answer::Suspect { attempts }),

            (Op::Complete { .. }, Self::Done) => (self, Answer::AlreadyDone),
            (Op::Complete { .. }, _) => (Self::Done, Answer::Recorded),

            (Op::Renew { .. } | Op::Release { .. }, Self::Done) => (self, Answer::Either),
            (Op::Renew { token }, Self::Held { token: holder, attempts, suspect, .. }) if token == holder => {
                (Self::Held { token, attempts, suspect, live: true }, Answer::Held)
            }
            (Op::Release { token, attempts }, Self::Held { token: holder, attempts: held, suspect, .. })
                if token == holder =>
            {
                let next = match attempts {
                    // A takeover that never started leaves the lease run out, as it was.
                    None if suspect => Self::Held { token: NOBODY, attempts: held - 1, suspect, live: false },
                    // What the claim found is never lowered.
                    attempts => match attempts.unwrap_or(0).max(held - u32::from(suspect)) {
                        0 => Self::Absent,
                        attempts => Self::Idle { attempts },
                    },
                };
                (next, Answer::Held)
            }
            (Op::Renew { .. } | Op::Release { .. }, _) => (self, Answer::NotHeld),

            (Op::Expire { token }, Self::Held { token: holder, attempts, suspect, .. }) if token == holder => {
                (Self::Held { token, attempts, suspect, live: false }, Answer::Expired)
            }
            (Op::Expire { .. }, _) => (self, Answer::Expired),

            (Op::Inspect, Self::Absent) => (self, Answer::State(Known::Absent)),
            (Op::Inspect, Self::Idle { attempts }) => (self, Answer::State(Known::Idle { attempts })),
            (Op::Inspect, Self::Held { attempts, live: true, .. }) => {
                (self, Answer::State(Known::InFlight { attempts }))
            }
            (Op::Inspect, Self::Held { attempts, .. }) => (self, Answer::State(Known::Expired { attempts })),
            (Op::Inspect, Self::Done) => (self, Answer::State(Known::Done)),
        }
    }

    fn taken(token: u8, attempts: u32, suspect: bool) -> (Self, Answer) {
        (Self::Held { token, attempts, suspect, live: true }, Answer::Claimed { attempts, suspect })
    }
}

/// One way in which all could have happened so far: what the ID is like, and which of the questions that have no answer
/// yet were executed, with which answer.
type Candidate = (Model, BTreeMap<u32, Answer>);

/// All ways in which everything could have happened so far.
pub struct Candidates {
    ways: BTreeSet<Candidate>,
    /// Questions that may be executed still: without an answer, or given up.
    open: BTreeMap<u32, Op>,
}

impl Candidates {
    pub fn new() -> Self {
        Self { ways: BTreeSet::from([(Model::Absent, BTreeMap::new())]), open: BTreeMap::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.ways.is_empty()
    }

    /// A question is asked. From now on it may be executed.
    pub fn begin(&mut self, number: u32, op: Op) {
        self.open.insert(number, op);
        self.close();
    }

    /// It is answered: it was executed before, with that answer. Or nobody knows.
    pub fn end(&mut self, number: u32, outcome: Outcome) {
        let ways = std::mem::take(&mut self.ways).into_iter();
        match outcome {
            Outcome::Answer(given) => {
                self.open.remove(&number);
                // A claim takes its lease first and looks second. Where somebody completes between the two it had held
                // the ID, and answers rightly that it is done.
                let found_done = |model| given == Answer::Done && model == Model::Done;
                let explained = |(model, mut executed): Candidate| {
                    let explains = |answer: Answer| answer.fits(given) || found_done(model);
                    executed.remove(&number).is_some_and(explains).then_some((model, executed))
                };
                self.ways = ways.filter_map(explained).collect();
            }
            Outcome::NotExecuted => {
                self.open.remove(&number);
                self.ways = ways.filter(|(_, executed)| !executed.contains_key(&number)).collect();
            }
            // It stays open: a way in which it was executed knows that.
            Outcome::Unknown => self.ways = ways.collect(),
        }
        self.close();
    }

    /// Lets every open question be executed in every order.
    fn close(&mut self) {
        let mut fresh: Vec<Candidate> = self.ways.iter().cloned().collect();
        while let Some((model, executed)) = fresh.pop() {
            for (number, op) in self.open.iter().filter(|(number, _)| !executed.contains_key(number)) {
                let (model, answer) = model.apply(*op);
                let mut executed = executed.clone();
                executed.insert(*number, answer);
                let way = (model, executed);
                if self.ways.insert(way.clone()) {
                    fresh.push(way);
                }
            }
        }
    }
}

/// The model is the reference, said once more: without lateness it answers as memory does.
#[tokio::test(start_paused = true)]
async fn the_model_answers_as_memory_does() {
    let mut rng = rand::rng();
    for _ in 0..200 {
        let (memory, mut model) = (MemoryStore::new(LONG), Model::Absent);
        let dying = memory.with_terms(LeaseTerms { lease: std::time::Duration::from_millis(1), ..LONG });
        for _ in 0..40 {
            let (token, takes_over) = (rng.random_range(b'a'..b'e'), rng.random_bool(0.5));
            let attempts = rng.random_bool(0.7).then(|| rng.random_range(0..3));
            let (op, dies) = match rng.random_range(0..20) {
                0 => (Op::Complete { token }, false),
                1..4 => (Op::Renew { token }, false),
                4..8 => (Op::Release { token, attempts }, false),
                8..11 => (Op::Inspect, false),
                11..14 => (Op::Claim { token, takes_over }, true),
                _ => (Op::Claim { token, takes_over }, false),
            };
            let Outcome::Answer(given) = op.ask(if dies { &dying } else { &memory }).await else { panic!("memory") };
            let (next, answer) = model.apply(op);
            assert!(answer.fits(given), "{model:?} {op:?}: {answer:?}, not {given:?}");
            model = next;
            if dies && matches!(given, Answer::Claimed { .. }) {
                model = model.apply(Op::Expire { token }).0;
                until(async || matches!(dying.inspect(vec![id()]).await[..], [Ok(State::Expired { .. })])).await;
            }
        }
    }
}
