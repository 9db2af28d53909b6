//! The figures of a run.

use std::collections::BTreeMap;

use crate::checker::{Judgement, NEVER, Part, Past, Span, span, stalls};
use crate::history::{Fault, FaultKind, Role, Target, What};

const SECOND: u64 = 1_000_000;
/// A shorter time without progress is no stall worth a line.
const SHORT: u64 = 2 * SECOND;

/// What the report shows.
#[derive(Debug)]
pub struct Figures {
    pub begin: u64,
    pub end: u64,
    pub records: u64,
    pub copies: u64,
    pub letters: u64,
    pub retried: u64,
    pub duplicates: u64,
    pub overruns: u64,
    pub possible_overruns: u64,
    pub suspects: u64,
    pub leases_lost: u64,
    /// Per second since the beginning: records produced, effects, and the lag of all partitions.
    pub produced: Vec<u64>,
    pub effects: Vec<u64>,
    pub lag: Vec<u64>,
    /// Stalls of 2 s and more, with the partition.
    pub stalls: Vec<(String, Span)>,
    pub faults: Vec<Shown>,
    pub kinds: BTreeMap<String, Kind>,
    /// The most resident memory of each life, in bytes.
    pub memory: Vec<(String, u64)>,
    /// How long after the heal the lag of all partitions was zero.
    pub healed_in: Option<u64>,
}

/// A fault as it is shown.
#[derive(Debug)]
pub struct Shown {
    pub number: u64,
    pub kind: String,
    pub target: String,
    pub span: Span,
    pub graceful: bool,
    pub repeats: u64,
    /// How long after its end every partition had gone on.
    pub recovery: Option<u64>,
    pub text: String,
}

/// All faults of one kind.
#[derive(Debug, Default)]
pub struct Kind {
    pub count: u64,
    pub repeats: u64,
    pub longest: u64,
    pub recovery: u64,
}

impl Figures {
    pub fn of(past: &Past, judgement: &Judgement) -> Self {
        let (begin, end) = (past.faults_at, past.last_at.max(past.faults_at + SECOND));
        let seconds = usize::try_from((end - begin).div_ceil(SECOND)).unwrap_or(0) + 1;
        let place = |at: u64| usize::try_from(at.saturating_sub(begin) / SECOND).unwrap_or(0).min(seconds - 1);
        let (mut produced, mut effects) = (vec![0; seconds], vec![0; seconds]);
        let sources = || past.parts.iter().filter(|part| part.role == Role::Source);
        let (mut records, mut copies) = (0, 0);
        for record in sources().flat_map(|part| &part.records) {
            produced[place(record.at)] += 1;
            records += 1;
            copies += u64::from(record.copy > 0);
        }
        for each in past.tries.iter().filter(|each| each.has_effect()) {
            effects[place(each.effect)] += 1;
        }
        let reported = |what: What| past.reports.iter().filter(|r| r.what == what).map(|r| r.count).sum();
        let of_role = |role| past.letters.iter().filter(|letter| letter.role == role).count() as u64;
        let by_fault = judgement.repeats.by_fault();
        let faults: Vec<Shown> = past
            .faults
            .all()
            .iter()
            .map(|f| shown(past, f, end, by_fault.get(&f.number).copied().unwrap_or(0)))
            .collect();
        let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
        for fault in &faults {
            let kind = kinds.entry(fault.kind.clone()).or_default();
            kind.count += 1;
            kind.repeats += fault.repeats;
            kind.longest = kind.longest.max(fault.span.length());
            kind.recovery = kind.recovery.max(fault.recovery.unwrap_or(0));
        }
        let mut stalls: Vec<(String, Span)> = past
            .consumed()
            .flat_map(|(_, part)| stalls(part).into_iter().map(|stall| (part.name(), stall)))
            .filter(|(_, stall)| stall.length() >= SHORT)
            .collect();
        stalls.sort_by_key(|(_, stall)| stall.begin);
        Self {
            begin,
            end,
            records,
            copies,
            letters: of_role(Role::DeadLetter),
            retried: of_role(Role::Retry),
            duplicates: [What::DuplicateByCache, What::DuplicateByStore, What::DuplicateByProcess]
                .map(reported)
                .iter()
                .sum(),
            overruns: reported(What::CompletedOverrun),
            possible_overruns: reported(What::CompletedPossibleOverrun),
            suspects: reported(What::Suspect),
            leases_lost: reported(What::LeaseLost),
            produced,
            effects,
            lag: lag(past, seconds, place),
            stalls,
            faults,
            kinds,
            memory: memory(past),
            healed_in: healed_in(past),
        }
    }

    pub fn longest_stall(&self) -> Option<&(String, Span)> {
        self.stalls.iter().max_by_key(|(_, stall)| stall.length())
    }
}

fn shown(past: &Past, fault: &Fault, end: u64, repeats: u64) -> Shown {
    let Span { begin, end: over } = span(fault);
    let mut text = fault.text.clone().unwrap_or_default();
    for part in [
        fault.failpoint.as_ref().map(|point| format!("failpoint {point}")),
        fault.clock_ms.map(|ms| format!("clock {ms:+} ms")),
        fault.lost_from.map(|from| format!("loses what was written since {}", past.clock(from))),
    ]
    .into_iter()
    .flatten()
    {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&part);
    }
    Shown {
        number: fault.number,
        kind: kind_name(&fault.what),
        target: target_name(&fault.target),
        span: Span { begin, end: over.min(end) },
        graceful: fault.graceful,
        repeats,
        recovery: (over != NEVER).then(|| recovery(past, over)).flatten(),
        text,
    }
}

/// `WorkerKill` as `worker kill`.
fn kind_name(kind: &FaultKind) -> String {
    if let FaultKind::Other(name) = kind {
        return name.clone();
    }
    let mut name = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push(' ');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

fn target_name(target: &Target) -> String {
    match target {
        Target::Worker { worker, .. } => worker.clone(),
        Target::Workers => "all workers".to_owned(),
        Target::Broker(name) => format!("broker {name}"),
        Target::Store(name) => format!("store {name}"),
        Target::Link { worker: Some(worker) } => format!("links of {worker}"),
        Target::Link { worker: None } => "links of all".to_owned(),
    }
}

/// How long after a time every partition that lagged then had committed more, or had no lag.
fn recovery(past: &Past, at: u64) -> Option<u64> {
    let of_part = |part: &Part| {
        let from = part.samples.partition_point(|sample| sample.at < at);
        let then = part.samples.get(from)?;
        if then.lag() == 0 {
            return Some(0);
        }
        let on = part.samples[from..].iter().find(|sample| sample.lag() == 0 || sample.offset > then.offset)?;
        Some(on.at - at)
    };
    past.consumed().filter_map(|(_, part)| of_part(part)).max()
}

/// The lag of all partitions at the end of each second.
fn lag(past: &Past, seconds: usize, place: impl Fn(u64) -> usize) -> Vec<u64> {
    let mut all = vec![0_u64; seconds];
    for (_, part) in past.consumed() {
        let mut of_part: Vec<Option<u64>> = vec![None; seconds];
        for sample in &part.samples {
            of_part[place(sample.at)] = Some(u64::try_from(sample.lag()).unwrap_or(0));
        }
        let mut last = 0;
        for (sum, lag) in all.iter_mut().zip(of_part) {
            last = lag.unwrap_or(last);
            *sum += last;
        }
    }
    all
}

fn memory(past: &Past) -> Vec<(String, u64)> {
    let mut most: BTreeMap<u32, u64> = BTreeMap::new();
    for (_, life, bytes) in &past.memory {
        let most = most.entry(*life).or_default();
        *most = (*most).max(*bytes);
    }
    most.into_iter().map(|(life, bytes)| (past.life(life).name(), bytes)).collect()
}

fn healed_in(past: &Past) -> Option<u64> {
    let healed_at = past.healed_at?;
    let of_part = |part: &Part| {
        let caught_up = part.samples.iter().find(|sample| sample.at >= healed_at && sample.lag() == 0)?;
        Some(caught_up.at - healed_at)
    };
    past.consumed()
        .filter(|(_, part)| !part.samples.is_empty())
        .map(|(_, part)| of_part(part))
        .try_fold(0, |most, took| Some(took?.max(most)))
}
