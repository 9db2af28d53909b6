//! The report as a text.

use std::fmt::Write;

use crate::checker::{Judgement, Past, State, Verdict};

use super::figures::Figures;

pub fn write(past: &Past, judgement: &Judgement, figures: &Figures) -> String {
    let mut out = String::new();
    sections(&mut out, past, judgement, figures).expect("a string takes any text");
    out
}

/// The verdict of a run in one sentence.
pub fn headline(judgement: &Judgement) -> String {
    let broken: Vec<_> =
        judgement.verdicts.iter().filter(|v| v.state == State::Violated).map(|v| v.invariant).collect();
    let unproven: Vec<_> =
        judgement.verdicts.iter().filter(|v| matches!(v.state, State::Unproven(_))).map(|v| v.invariant).collect();
    match (broken.is_empty(), unproven.is_empty()) {
        (true, true) => "PASSED: every promise that this run can judge was kept".to_owned(),
        (false, _) => format!("FAILED: {} violated", broken.join(", ")),
        (true, false) => format!("FAILED: no evidence for {}", unproven.join(", ")),
    }
}

pub fn state(verdict: &Verdict) -> String {
    match &verdict.state {
        State::Held => "held".to_owned(),
        State::Violated => format!("VIOLATED {} times", verdict.violations),
        State::Unproven(why) => format!("NO EVIDENCE: {why}"),
        State::Elsewhere(by) => format!("not judged here: {by}"),
    }
}

pub fn seconds(micros: u64) -> String {
    format!("{:.1} s", micros as f64 / 1e6)
}

fn sections(out: &mut String, past: &Past, judgement: &Judgement, figures: &Figures) -> std::fmt::Result {
    let run = &past.run;
    writeln!(out, "{}", headline(judgement))?;
    writeln!(out, "mode {}, seed {}, store {}", run.mode, run.seed, run.store)?;
    for (name, version) in &run.versions {
        writeln!(out, "{name} {version}")?;
    }
    writeln!(out, "\nInvariants")?;
    for verdict in &judgement.verdicts {
        writeln!(out, "  {:<4} {:<62} {}", verdict.invariant, verdict.title, state(verdict))?;
        for note in &verdict.notes {
            writeln!(out, "         {note}")?;
        }
        for finding in &verdict.findings {
            writeln!(out, "       ! {}", finding.text)?;
        }
        let left = verdict.violations.saturating_sub(verdict.findings.len() as u64);
        if left > 0 {
            writeln!(out, "       ! and {left} more")?;
        }
    }

    writeln!(out, "\nWhat happened")?;
    let span = figures.end - figures.begin;
    writeln!(out, "  {} of history, {} lines", seconds(span), past.lines)?;
    writeln!(out, "  {} records in the log, of them {} sent again on purpose", figures.records, figures.copies)?;
    writeln!(
        out,
        "  {} effects of {} messages, {} of them repeats",
        judgement.repeats.effects,
        past.nature_of.len(),
        judgement.repeats.all.len()
    )?;
    for (excuse, count) in judgement.repeats.by_excuse() {
        writeln!(
            out,
            "    {count:>6} because {}",
            excuse.map_or("of nothing that excuses it", |excuse| excuse.text())
        )?;
    }
    writeln!(out, "  {} dead letters, {} copies in retry topics", figures.letters, figures.retried)?;

    writeln!(out, "\nWhat hapax reported")?;
    writeln!(out, "  {} duplicates dropped", figures.duplicates)?;
    writeln!(out, "  {} overruns and {} possible overruns", figures.overruns, figures.possible_overruns)?;
    writeln!(out, "  {} suspects taken over, {} leases lost", figures.suspects, figures.leases_lost)?;

    writeln!(out, "\nFaults")?;
    writeln!(out, "  {:<18} {:>6} {:>9} {:>14} {:>9}", "kind", "count", "longest", "gone on after", "repeats")?;
    for (name, kind) in &figures.kinds {
        let (longest, recovery) = (seconds(kind.longest), seconds(kind.recovery));
        writeln!(out, "  {name:<18} {:>6} {longest:>9} {recovery:>14} {:>9}", kind.count, kind.repeats)?;
    }

    writeln!(out, "\nProgress")?;
    match figures.healed_in {
        Some(took) => writeln!(out, "  no lag {} after the last fault", seconds(took))?,
        None => writeln!(out, "  the lag did not reach zero after the last fault")?,
    }
    match figures.longest_stall() {
        Some((part, stall)) => {
            writeln!(
                out,
                "  longest time without a commit: {} ({part}, from {})",
                seconds(stall.length()),
                past.clock(stall.begin)
            )?;
        }
        None => writeln!(out, "  no partition stood still for 2 s")?,
    }
    if let Some((life, bytes)) = figures.memory.iter().max_by_key(|(_, bytes)| *bytes) {
        writeln!(out, "  most memory of a worker: {} MiB ({life})", bytes >> 20)?;
    }
    Ok(())
}
