//! Reads the plan and the time, again and again, and has the plan extended where it must be.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::calendar::Calendar;
use super::known::Known;
use super::plan::{Generation, Plan};
use super::replies::{read_count, read_limit, read_plan, read_time};
use super::sizing::{Fill, Sizing};
use crate::store::redis::batch::Batch;
use crate::store::redis::layout::{GROUPS, Group};
use crate::store::redis::loss::{Loss, Missing};
use crate::store::redis::meta::Written;
use crate::store::redis::scripts::{self, Call};
use crate::store::redis::{DoneMode, Inner, faults, meta};
use crate::store::{Agreement, Cause, StoreError};

/// How often a reading that came too late, or over a connection that was replaced meanwhile, is repeated at once.
const TRIES: usize = 4;

/// Members of a compact set, where the server does not tell its limit.
const USUAL_LIMIT: u32 = 512;

/// Who reads.
#[derive(Debug)]
pub(in super::super) struct Reader {
    calendar: Calendar,
    expected: Option<u64>,
    state: Mutex<State>,
    /// Held by whoever is reading.
    gate: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct State {
    known: Option<Known>,
    /// What the namespace has to agree on, from when it was opened.
    agreement: Option<Agreement>,
    limit: u32,
    sample: Option<Sample>,
    /// When the agreement was last given its time to live.
    kept_at: Option<Instant>,
    loss: Loss,
    readings: u64,
    /// Which reading failed last, and why.
    failed: Option<(u64, StoreError)>,
}

/// How full a slice was.
#[derive(Clone, Debug)]
struct Sample {
    at: u64,
    slice: u64,
    fill: Fill,
    /// Whether it was compared with one before: the first of a slice knows no rate.
    is_rated: bool,
}

impl Sample {
    /// When the next one is due: after a first one soon, for the slice may be filling up fast.
    fn next_at(&self, calendar: &Calendar) -> u64 {
        self.at + if self.is_rated { 2 * calendar.bound() } else { calendar.bound() / 4 }
    }
}

/// A wish to have a generation in the plan.
struct Wish {
    kind: &'static str,
    slice: u64,
    shards: u32,
    /// From when on it is written to; for growth, after how long.
    from: u64,
}

impl Reader {
    pub(in super::super) fn new(calendar: Calendar, expected: Option<u64>) -> Self {
        let state = State {
            known: None,
            agreement: None,
            limit: USUAL_LIMIT,
            sample: None,
            kept_at: None,
            loss: Loss::default(),
            readings: 0,
            failed: None,
        };
        Self { calendar, expected, state: Mutex::new(state), gate: Arc::default() }
    }

    /// What every reading has to find from now on, and was just given its time to live. Nothing is known until it was found.
    pub(in super::super) fn agree_on(&self, agreement: Agreement, written: Written) {
        let mut state = self.state.lock();
        state.agreement = Some(agreement);
        state.known = None;
        let now = Instant::now();
        state.kept_at = Some(now);
        state.loss.opened(written, now);
    }

    /// Takes down which writing of the agreement stands there; returns whether the one before it was lost.
    fn saw(&self, written: Written) -> bool {
        let kept_for = Duration::from_millis(self.kept_for());
        self.state.lock().loss.saw(written, Instant::now(), kept_for)
    }

    /// When it was last found that Redis had lost what it remembered.
    pub(in super::super) fn lost_at(&self) -> Option<Instant> {
        self.state.lock().loss.since()
    }

    /// How long ago that was.
    pub(in super::super) fn lost_for(&self) -> Option<Duration> {
        self.lost_at().map(|at| at.elapsed())
    }

    /// How long what the namespace agreed on is kept, in milliseconds.
    pub(in super::super) fn kept_for(&self) -> u64 {
        self.calendar.kept_for()
    }

    fn good(&self, serial: Option<u64>) -> Option<Known> {
        self.state.lock().known.as_ref().filter(|known| known.is_good(serial)).cloned()
    }
}

impl Inner {
    /// What is known, good for an answer that arrives now. Reads where it is not good any more, and ahead of that.
    pub(in super::super) async fn known(self: &Arc<Self>) -> Result<Known, StoreError> {
        let reader = &self.reader;
        if let Some(known) = self.good() {
            if known.is_due()
                && let Ok(gate) = reader.gate.clone().try_lock_owned()
            {
                let inner = self.clone();
                tokio::spawn(async move {
                    // What went wrong is told to whoever needs the next reading.
                    drop(inner.read().await);
                    drop(gate);
                });
            }
            return Ok(known);
        }
        let arrived = reader.state.lock().readings;
        let _gate = reader.gate.lock().await;
        let failed = reader.state.lock().failed.clone();
        if let Some((_, error)) = failed.filter(|(reading, _)| *reading > arrived) {
            return Err(error);
        }
        for _ in 0..TRIES {
            if let Some(known) = self.good() {
                return Ok(known);
            }
            self.read().await?;
        }
        self.good().ok_or_else(|| {
            StoreError::Unavailable(Cause::new(format!(
                "Redis took longer than {:?} to answer, or its connections did not last; its clock cannot be followed \
                 so slowly",
                reader.calendar.good_for()
            )))
        })
    }

    fn good(&self) -> Option<Known> {
        self.reader.good(self.link.serial(Group::NAMESPACE))
    }

    async fn read(&self) -> Result<(), StoreError> {
        let reading = {
            let mut state = self.reader.state.lock();
            state.readings += 1;
            state.readings
        };
        let result = self.try_read().await;
        if let Err(error) = &result {
            self.reader.state.lock().failed = Some((reading, error.clone()));
        }
        result
    }

    async fn try_read(&self) -> Result<(), StoreError> {
        let reader = &self.reader;
        let serial = self.link.serial(Group::NAMESPACE);
        let (before, agreement, sample_at) = {
            let state = reader.state.lock();
            (
                state.known.clone(),
                state.agreement.clone(),
                state.sample.as_ref().map(|sample| (sample.at, sample.next_at(&reader.calendar))),
            )
        };
        let is_new = before.as_ref().map(|known| known.serial) != serial;
        let samples: Vec<Generation> = match &before {
            Some(known) if sample_at.is_none_or(|(last, next)| !(last..next).contains(&known.now())) => {
                let now = known.now();
                let slice = reader.calendar.slice(now);
                known.plan.generations().iter().filter(|it| it.slice == slice && it.from <= now).copied().collect()
            }
            _ => Vec::new(),
        };

        let asked_at = Instant::now();
        let kept_for = reader.calendar.kept_for();
        let keeps = agreement.is_some()
            && reader.state.lock().kept_at.is_none_or(|at| at.elapsed().as_millis() as u64 > kept_for / 8);
        let mut batch = Batch::default();
        batch.push(Group::NAMESPACE, &redis::cmd("TIME"));
        if let Some(agreement) = &agreement {
            meta::ask(&mut batch, &self.layout, agreement, kept_for)?;
        }
        if keeps {
            meta::keep(&mut batch, &self.layout, kept_for);
        }
        if self.mode == DoneMode::Compact {
            batch.push(Group::NAMESPACE, redis::cmd("HGETALL").arg(self.layout.plan()));
            if is_new {
                batch.push(Group::NAMESPACE, redis::cmd("CONFIG").arg("GET").arg("set-max-intset-entries"));
            }
            for generation in &samples {
                (0..GROUPS).for_each(|group| batch.push(Group::nth(group), &self.scard(*generation, group)));
            }
        }
        let mut replies = self.link.ask(batch).await.into_iter();
        let mut next = || replies.next().unwrap_or_else(|| Err(faults::of_misfit("a reading").into()));
        let answered_at = Instant::now();
        // Before anything is claimed there: a later run of the server is compared with this one.
        self.note_runs(Group::all());
        let time = faults::read("TIME", next(), read_time)?;
        if let Some(agreement) = &agreement {
            let written = meta::judge(&self.layout, agreement, [next(), next()]).map_err(meta::refusal)?;
            if reader.saw(written) {
                Missing::All.log(self.layout.namespace());
            }
        }
        if keeps {
            faults::read("PEXPIRE", next(), |_| Some(()))?;
            reader.state.lock().kept_at = Some(asked_at);
        }
        if serial.is_none() || self.link.serial(Group::NAMESPACE) != serial {
            // Whether the connection is the one that was asked cannot be told: ask again.
            return Ok(());
        }
        let mut known = Known {
            calendar: reader.calendar,
            is_compact: self.mode == DoneMode::Compact,
            plan: Arc::default(),
            serial: serial.unwrap_or_default(),
            serials: (0..GROUPS).map(|group| self.link.serial(Group::nth(group)).unwrap_or_default()).collect(),
            asked_at,
            // The time was told at some moment between; the middle is wrong by half of it at most.
            clock: (asked_at + (answered_at - asked_at) / 2, time),
        };
        if self.mode == DoneMode::Compact {
            let found = faults::read("HGETALL", next(), read_plan)?;
            let limit = if is_new { read_limit(next()) } else { None };
            let means: Vec<(u32, f64)> = samples
                .iter()
                .map(|it| (it.shards, (0..GROUPS).map(|_| read_count(next())).sum::<f64>() / f64::from(GROUPS)))
                .collect();
            known.plan = Arc::new(self.extend(&known, before, found, limit, &means).await?);
        }
        reader.state.lock().known = Some(known);
        Ok(())
    }

    /// The plan as it should be, after having it written where it was not found so.
    async fn extend(
        &self,
        known: &Known,
        before: Option<Known>,
        found: Plan,
        limit: Option<u32>,
        means: &[(u32, f64)],
    ) -> Result<Plan, StoreError> {
        let (calendar, now) = (self.reader.calendar, known.now());
        // One slice more than anybody needs, for clocks that go back.
        let oldest = calendar.oldest(now).saturating_sub(1);
        self.expiries.since(oldest);
        let ours = before.as_ref().map_or_else(Plan::default, |known| Plan::clone(&known.plan)).since(oldest);
        let lost = ours.missing_in(&found);
        if !lost.is_empty() || before.is_some_and(|before| before.serials != known.serials) {
            self.mend(known).await;
        }
        let plan = ours.union(&found);
        let mut wishes: Vec<Wish> =
            lost.iter().map(|it| Wish { kind: "known", slice: it.slice, shards: it.shards, from: it.from }).collect();
        wishes.extend(self.wishes(&plan, now, limit, means));
        if wishes.is_empty() {
            return Ok(plan.since(oldest));
        }
        let mut args = vec![oldest.to_string(), calendar.start(1).to_string(), (4 * calendar.bound()).to_string()];
        for Wish { kind, slice, shards, from } in wishes {
            args.extend([kind.to_owned(), slice.to_string(), shards.to_string(), from.to_string()]);
        }
        let call = Call {
            group: Group::NAMESPACE,
            keys: vec![self.layout.plan().into_bytes()],
            args: args.into_iter().map(String::into_bytes).collect(),
        };
        let mut replies = scripts::run(&self.link, &scripts::PLAN, &[call]).await;
        let reply = replies.pop().unwrap_or_else(|| Err(faults::of_misfit("the plan script").into()));
        Ok(plan.union(&faults::read("the plan script", reply, read_plan)?).since(oldest))
    }

    /// What the plan lacks.
    fn wishes(&self, plan: &Plan, now: u64, limit: Option<u32>, means: &[(u32, f64)]) -> Vec<Wish> {
        let (calendar, slice) = (self.reader.calendar, self.reader.calendar.slice(now));
        let mut state = self.reader.state.lock();
        state.limit = limit.unwrap_or(state.limit);
        let sizing = Sizing::new(GROUPS, state.limit, self.reader.expected);
        if let Some((shards, mean)) = means.last().copied() {
            let count = means.iter().map(|(shards, mean)| f64::from(*shards) * mean).sum::<f64>();
            // The same sets are asked each time, so that chance does not look like a rate. The first sample knows none.
            let rate = state.sample.as_ref().filter(|last| last.slice == slice && last.at < now).map(|last| {
                let lately = (count - last.fill.count).max(0.0) / (now - last.at) as f64;
                if last.is_rated { (last.fill.rate + lately) / 2.0 } else { lately }
            });
            let fill = Fill { shards, mean, count, rate: rate.unwrap_or_default() };
            state.sample = Some(Sample { at: now, slice, fill, is_rated: rate.is_some() });
        }
        let sample = state.sample.as_ref();
        let count_of = |slice: u64| sample.filter(|sample| sample.slice == slice).map(|sample| sample.fill.count);
        let sized_after = |slice: u64| count_of(slice).map_or_else(|| sizing.first(), |count| sizing.next(count));
        let lasting = if calendar.plans_ahead(now) { slice + 1 } else { slice };
        let mut wishes: Vec<Wish> = (calendar.oldest(now)..=calendar.newest(now).max(lasting))
            .filter(|wanted| !plan.has(*wanted))
            .map(|wanted| Wish { kind: "first", slice: wanted, shards: sized_after(wanted.saturating_sub(1)), from: 0 })
            .collect();
        if !means.is_empty()
            && !plan.grows_after(slice, now)
            && let Some(sample) = sample
        {
            let left = calendar.start(slice + 1).saturating_sub(now) as f64;
            // Until the next sample, its reading, and the time when what it announces is written to.
            let horizon = (3 * calendar.bound() + calendar.notice()) as f64;
            if let Some(shards) = sizing.grows(&sample.fill, horizon, left) {
                tracing::debug!(slice, shards, members = sample.fill.mean, "a further generation of sets");
                wishes.push(Wish { kind: "growth", slice, shards, from: calendar.notice() });
            }
        }
        wishes
    }

    /// Gives all sets their expiry again: a Redis that lost its data, or another in its place, was written to by plain
    /// commands until this was noticed.
    async fn mend(&self, known: &Known) {
        let sets = self.expiries.take();
        for sets in sets.chunks(1000) {
            let command = |(group, shard): &(Group, super::Shard)| {
                let gone_at = known.gone_at(shard.generation);
                (*group, redis::cmd("PEXPIREAT").arg(self.layout.set(*group, shard)).arg(gone_at).take())
            };
            self.link.tell(sets.iter().map(command).collect()).await;
        }
    }

    /// Counts the members of one set of a group, the same each time.
    fn scard(&self, generation: Generation, group: u32) -> redis::Cmd {
        let shard = super::Shard::sample(generation, group);
        redis::cmd("SCARD").arg(self.layout.set(Group::nth(group), &shard)).take()
    }
}
