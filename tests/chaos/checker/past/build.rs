//! A history put together from its lines.

use std::collections::HashMap;

use crate::history::{
    Attempt, Copy, Counts, Ended, Entry, Event, Fault, Life, Nature, Produced, Reported, Role, Run, What,
};

use super::{Alive, Faults, Letter, NEVER, Names, Part, Past, Rec, Report, Sample, Try};

/// What tells the attempts of one life apart: partition, offset, attempt and call.
type Key = (u32, i64, u32, u64);

#[derive(Default)]
pub struct Builder {
    run: Option<Run>,
    stages: [Option<u64>; 3],
    last_at: u64,
    lines: u64,
    ids: Names,
    keys: Names,
    nature_of: Vec<u8>,
    natures: Vec<Nature>,
    lives: Vec<Alive>,
    life_numbers: HashMap<String, Vec<(u32, u32)>>,
    parts: Vec<Part>,
    part_numbers: HashMap<String, Vec<(i32, u32)>>,
    tries: Vec<Try>,
    /// Attempts that have not ended, by life.
    open: HashMap<u32, HashMap<Key, usize>>,
    copies: Vec<(u64, Copy)>,
    reports: Vec<Report>,
    /// First completions: when, by which life, and of which record.
    completions: Vec<(u64, u32, u32, i64, u32)>,
    counts: Vec<(u64, u32, Counts)>,
    faults: HashMap<u64, Fault>,
    memory: Vec<(u64, u32, u64)>,
    leftovers: Vec<(String, u64)>,
    unacknowledged: u64,
    problems: Vec<String>,
}

/// Stands for an ID that a completion does not name.
const UNNAMED: u32 = u32::MAX;

impl Builder {
    pub fn add(&mut self, entry: Entry) {
        let at = entry.at;
        self.lines += 1;
        self.last_at = self.last_at.max(at);
        match entry.event {
            Event::Run(run) => {
                if self.run.replace(run).is_some() {
                    self.problems.push("there are two lines `run`".to_owned());
                }
            }
            Event::Phase(phase) => {
                self.stages[phase.stage as usize] = Some(at);
            }
            Event::Produced(produced) => self.produced(at, &produced),
            Event::Unacknowledged(_) => self.unacknowledged += 1,
            Event::Started(attempt) => {
                let new = self.new_try(&attempt);
                let index = self.tries.len();
                self.tries.push(Try { started: at, ..new });
                self.open.entry(new.life).or_default().insert(key(&new), index);
            }
            Event::Effect(attempt) => {
                let found = self.find_try(&attempt);
                match self.tries.get_mut(found).filter(|each| !each.has_effect()) {
                    Some(each) => each.effect = at,
                    // A second effect of one attempt is a repeat like any other.
                    None => {
                        let new = self.new_try(&attempt);
                        self.tries.push(Try { effect: at, ..new });
                    }
                }
            }
            Event::Ended(Ended { of, outcome }) => {
                let found = self.find_try(&of);
                if let Some(each) = self.tries.get_mut(found) {
                    (each.ended, each.outcome) = (at, Some(outcome));
                    let each = *each;
                    self.open.entry(each.life).or_default().remove(&key(&each));
                }
            }
            Event::Committed(committed) => {
                if self.run.as_ref().is_none_or(|run| run.group == committed.group) {
                    let part = self.part(&committed.topic, committed.partition);
                    let sample = Sample { at, offset: committed.offset, end: committed.end };
                    self.parts[part as usize].samples.push(sample);
                }
            }
            Event::Copy(copy) => self.copies.push((at, copy)),
            Event::Reported(reported) => self.reported(at, reported),
            Event::Counts(counts) => {
                let life = self.life(&counts.worker, counts.incarnation);
                self.counts.push((at, life, counts));
            }
            Event::Fault(fault) => {
                // The line that says that it is over has more to say, whichever comes first.
                let known = self.faults.get(&fault.number);
                if known.is_none_or(|known| known.end.is_none() || fault.end.is_some()) {
                    self.faults.insert(fault.number, fault);
                }
            }
            Event::Process(process) => {
                let life = self.life(&process.worker, process.incarnation) as usize;
                let life = &mut self.lives[life];
                match process.state {
                    Life::Started => life.started = Some(at),
                    Life::Ready => life.ready = Some(at),
                    Life::Exited => {
                        (life.exited, life.code, life.signal) = (Some(at), process.code, process.signal);
                    }
                }
            }
            Event::Memory(memory) => {
                let life = self.life(&memory.worker, memory.incarnation);
                self.memory.push((at, life, memory.rss_bytes));
            }
            Event::Leftover(leftover) => self.leftovers.push((leftover.what, leftover.count)),
        }
    }

    fn produced(&mut self, at: u64, produced: &Produced) {
        let part = self.part(&produced.topic, produced.partition);
        let id = self.id(produced.id.as_deref(), &produced.topic, produced.partition, produced.offset);
        let nature = self.natures.iter().position(|nature| *nature == produced.nature).unwrap_or_else(|| {
            self.natures.push(produced.nature.clone());
            self.natures.len() - 1
        });
        if self.nature_of.len() <= id as usize {
            self.nature_of.resize(id as usize + 1, u8::MAX);
        }
        self.nature_of[id as usize] = u8::try_from(nature).unwrap_or(u8::MAX);
        let key = produced.key.as_deref().map_or(u32::MAX, |key| self.keys.number(key));
        let (offset, copy) = (produced.offset, produced.copy);
        self.parts[part as usize].records.push(Rec { offset, at, id, key, copy });
    }

    fn reported(&mut self, at: u64, reported: Reported) {
        let life = self.life(&reported.worker, reported.incarnation);
        let part = reported.topic.as_deref().zip(reported.partition).map(|(topic, number)| self.part(topic, number));
        let id = reported.id.as_deref().map(|id| self.ids.number(id));
        if reported.what == What::CompletedFirst {
            let (part, offset) = (part.unwrap_or(u32::MAX), reported.offset.unwrap_or(-1));
            return self.completions.push((at, life, part, offset, id.unwrap_or(UNNAMED)));
        }
        let Reported { what, offset, count, text, .. } = reported;
        self.reports.push(Report { at, life, what, part, offset, id, count, text });
    }

    /// A record without an ID is known by its coordinates.
    fn id(&mut self, id: Option<&str>, topic: &str, partition: i32, offset: i64) -> u32 {
        match id {
            Some(id) => self.ids.number(id),
            None => self.ids.number(&format!("{topic}/{partition}@{offset}")),
        }
    }

    fn part(&mut self, topic: &str, partition: i32) -> u32 {
        let known =
            self.part_numbers.get(topic).and_then(|parts| parts.iter().find(|(number, _)| *number == partition));
        if let Some((_, part)) = known {
            return *part;
        }
        let part = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        let (records, samples) = (Vec::new(), Vec::new());
        self.parts.push(Part { topic: topic.to_owned(), partition, role: Role::Source, records, samples });
        self.part_numbers.entry(topic.to_owned()).or_default().push((partition, part));
        part
    }

    fn life(&mut self, worker: &str, incarnation: u32) -> u32 {
        let known = self.life_numbers.get(worker).and_then(|lives| lives.iter().find(|(life, _)| *life == incarnation));
        if let Some((_, life)) = known {
            return *life;
        }
        let life = u32::try_from(self.lives.len()).unwrap_or(u32::MAX);
        let worker = worker.to_owned();
        self.life_numbers.entry(worker.clone()).or_default().push((incarnation, life));
        self.lives.push(Alive {
            worker,
            incarnation,
            started: None,
            ready: None,
            exited: None,
            code: None,
            signal: None,
        });
        life
    }

    fn new_try(&mut self, attempt: &Attempt) -> Try {
        Try {
            started: NEVER,
            called: NEVER,
            effect: NEVER,
            ended: NEVER,
            recorded: NEVER,
            offset: attempt.offset,
            call: attempt.call,
            id: self.id(attempt.id.as_deref(), &attempt.topic, attempt.partition, attempt.offset),
            life: self.life(&attempt.worker, attempt.incarnation),
            part: self.part(&attempt.topic, attempt.partition),
            attempt: attempt.attempt,
            outcome: None,
        }
    }

    /// The open attempt that a line belongs to; a new one where no start was written.
    fn find_try(&mut self, attempt: &Attempt) -> usize {
        let new = self.new_try(attempt);
        let next = self.tries.len();
        let index = *self.open.entry(new.life).or_default().entry(key(&new)).or_insert(next);
        if index == next {
            self.tries.push(new);
        }
        index
    }

    pub fn finish(mut self) -> Result<Past, String> {
        let run = self.run.take().ok_or("the history has no line `run`")?;
        if let Some(problem) = self.problems.first() {
            return Err(problem.clone());
        }
        drop(std::mem::take(&mut self.open));
        for part in &mut self.parts {
            part.role =
                run.topics.iter().find(|topic| topic.name == part.topic).map_or(Role::Source, |topic| topic.role);
        }
        // A partition without any sample counts, too.
        for topic in &run.topics {
            for partition in 0..topic.partitions {
                let part = self.part(&topic.name, partition) as usize;
                self.parts[part].role = topic.role;
            }
        }
        self.find_calls();
        let letters = self.letters(&run);
        for part in &mut self.parts {
            part.records.sort_by_key(|record| record.offset);
            part.records.dedup_by_key(|record| record.offset);
            part.samples.sort_by_key(|sample| sample.at);
            part.records.shrink_to_fit();
        }
        self.tries.sort_unstable_by_key(|each| (each.id, each.seen()));
        let mut first_try = Vec::with_capacity(self.ids.len() + 1);
        let mut next = 0;
        for id in 0..=self.ids.len() {
            while self.tries.get(next).is_some_and(|each| (each.id as usize) < id) {
                next += 1;
            }
            first_try.push(u32::try_from(next).map_err(|error| error.to_string())?);
        }
        self.reports.sort_by_key(|report| report.at);
        self.counts.sort_by_key(|(at, ..)| *at);
        self.memory.sort_by_key(|(at, ..)| *at);
        let completions = std::mem::take(&mut self.completions);
        let [faults_at, healed_at, ended_at] = self.stages;
        let mut past = Past {
            run,
            faults_at: faults_at.ok_or("the history has no line `phase` of the stage `faults`")?,
            healed_at,
            ended_at,
            last_at: self.last_at,
            ids: self.ids,
            nature_of: self.nature_of,
            natures: self.natures,
            lives: self.lives,
            parts: self.parts,
            tries: self.tries,
            first_try,
            letters,
            reports: self.reports,
            first_completions: completions.len() as u64,
            counts: self.counts,
            faults: Faults::new(self.faults.into_values().collect()),
            memory: self.memory,
            leftovers: self.leftovers,
            unacknowledged: self.unacknowledged,
            lines: self.lines,
        };
        name_reports(&mut past);
        record(&mut past, completions);
        Ok(past)
    }

    /// A call with many records begins with the first of them.
    fn find_calls(&mut self) {
        let mut calls: HashMap<(u32, u64), u64> = HashMap::new();
        for each in &self.tries {
            let called = calls.entry((each.life, each.call)).or_insert(NEVER);
            *called = each.started.min(*called);
        }
        for each in &mut self.tries {
            each.called = calls.get(&(each.life, each.call)).copied().unwrap_or(NEVER);
        }
    }

    /// The copies by ID. Those in retry topics are records of these topics, which are consumed.
    fn letters(&mut self, run: &Run) -> Vec<Letter> {
        let mut letters = Vec::with_capacity(self.copies.len());
        for (seen_at, copy) in std::mem::take(&mut self.copies) {
            let origin = (self.part(&copy.origin_topic, copy.origin_partition), copy.origin_offset);
            let id = self.id(copy.id.as_deref(), &copy.origin_topic, copy.origin_partition, copy.origin_offset);
            let part = self.part(&copy.topic, copy.partition);
            let role = self.parts[part as usize].role;
            // No copy was written after it was seen.
            let written = copy.timestamp_ms.saturating_mul(1_000).saturating_sub(run.wall_offset_us);
            let at = u64::try_from(written).unwrap_or(0).min(seen_at);
            let offset = copy.offset;
            if role == Role::Retry {
                self.parts[part as usize].records.push(Rec { offset, at, id, key: u32::MAX, copy: 0 });
            }
            let reason = copy.reason;
            letters.push(Letter { id, at, role, part, offset, origin, reason });
        }
        letters.sort_by_key(|letter| (letter.id, letter.at));
        letters
    }
}

fn key(each: &Try) -> Key {
    (each.part, each.offset, each.attempt, each.call)
}

/// Finds the IDs of reports that name coordinates only.
fn name_reports(past: &mut Past) {
    let mut reports = std::mem::take(&mut past.reports);
    for report in reports.iter_mut().filter(|report| report.id.is_none()) {
        let record = report.part.zip(report.offset).and_then(|(part, offset)| past.part(part).record(offset));
        report.id = record.map(|record| record.id);
    }
    past.reports = reports;
}

/// Notes with each attempt when its effect was reported as recorded, by whatever verdict.
fn record(past: &mut Past, first: Vec<(u64, u32, u32, i64, u32)>) {
    let repeated = past
        .reports
        .iter()
        .filter(|report| matches!(report.what, What::CompletedOverrun | What::CompletedPossibleOverrun));
    let repeated = repeated.map(|report| {
        (
            report.at,
            report.life,
            report.part.unwrap_or(u32::MAX),
            report.offset.unwrap_or(-1),
            report.id.unwrap_or(UNNAMED),
        )
    });
    let all: Vec<_> = first.into_iter().chain(repeated).collect();
    for (at, life, part, offset, id) in all {
        let id = if id == UNNAMED {
            let record = past.parts.get(part as usize).and_then(|part| part.record(offset));
            let Some(record) = record else { continue };
            record.id
        } else {
            id
        };
        let (from, to) = (past.first_try[id as usize] as usize, past.first_try[id as usize + 1] as usize);
        let of_record = |each: &&mut Try| part == u32::MAX || (each.part == part && each.offset == offset);
        // The last attempt of this life that had succeeded by then; its effect is what was recorded.
        let attempt = past.tries[from..to]
            .iter_mut()
            .filter(|each| each.life == life && each.succeeded() && each.ended <= at && each.recorded == NEVER)
            .filter(of_record)
            .max_by_key(|each| each.ended);
        if let Some(attempt) = attempt {
            attempt.recorded = at;
        }
    }
}
