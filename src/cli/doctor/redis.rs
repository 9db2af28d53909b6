//! Whether Redis remembers what it is told.

use std::time::Duration;

use super::finding::Finding;
use crate::store::{Estimate, KEEP_A_LOG, OpenError, Probe, Severity, StoreHealth};

/// From which share of its memory on a server is nearly full.
const NEARLY_FULL: f64 = 0.8;
/// A difference between two clocks that is worth telling, and one that is wrong.
const NOTABLE: Duration = Duration::from_secs(1);
const WRONG: Duration = Duration::from_secs(60);

/// Judges what was found.
pub(super) fn judge(health: &StoreHealth, probe: &Probe, estimate: Option<&Estimate>) -> Vec<Finding> {
    let mut findings = faults(health);
    for node in &health.nodes {
        let Some(server) = &node.server else { continue };
        findings.push(Finding::note(
            "redis",
            "server",
            format!(
                "{}: version {}, {} with {} replicas, {} MiB in use{}",
                node.address,
                server.version,
                server.role,
                server.replicas,
                server.used_memory >> 20,
                server.max_memory.map_or_else(|| " without a limit".to_owned(), |max| format!(" of {} MiB", max >> 20)),
            ),
        ));
        if let Some(max) = server.max_memory
            && server.used_memory as f64 > max as f64 * NEARLY_FULL
        {
            findings.push(Finding::warning(
                "redis",
                "nearly_full",
                format!(
                    "{}: more than {:.0} % of its memory is in use; when it is full nothing new is handled",
                    node.address,
                    NEARLY_FULL * 100.0
                ),
                "give it more memory, or choose a shorter HAPAX_WINDOW",
            ));
        }
        // Where it keeps nothing at all, that is a finding of the store's own.
        if !server.persistence.log && server.persistence.snapshots != Some(false) {
            findings.push(Finding::warning(
                "redis",
                "snapshots_only",
                format!(
                    "{}: it writes no log: a crash forgets what was handled since its last snapshot, and those effects are \
                     repeated when their records come again",
                    node.address
                ),
                KEEP_A_LOG,
            ));
        }
    }
    findings.push(clock(probe));
    match &probe.agrees {
        None => findings.push(Finding::note("redis", "namespace", "nobody has opened the namespace yet")),
        Some(Ok(())) => {
            findings.push(Finding::note("redis", "namespace", "the namespace was opened with these settings"))
        }
        Some(Err(error @ (OpenError::Disagreement { .. } | OpenError::Unreadable { .. }))) => {
            findings.push(Finding::error(
                "redis",
                "namespace",
                error.to_string(),
                "see src/docs/guarantees.md on how settings are changed without repeats",
            ))
        }
        Some(Err(error)) => findings.push(Finding::error("redis", "namespace", error.to_string(), "see the error")),
    }
    if matches!(probe.agrees, Some(Ok(()))) {
        findings.push(memory(estimate));
    }
    findings
}

/// What the store itself finds wrong with its servers.
pub(super) fn faults(health: &StoreHealth) -> Vec<Finding> {
    let finding = |found: &crate::store::Finding| {
        let says = format!("{}: {}", found.address, found.says);
        match found.severity {
            Severity::Error => Finding::error("redis", found.name, says, found.remedy),
            _ => Finding::warning("redis", found.name, says, found.remedy),
        }
    };
    health.findings.iter().map(finding).collect()
}

fn memory(estimate: Option<&Estimate>) -> Finding {
    let says = match estimate {
        Some(Estimate { ids: 0, .. }) => "too few IDs are remembered to estimate their number".to_owned(),
        Some(Estimate { ids, bytes }) => {
            format!("about {ids} IDs are remembered, with {:.1} bytes each", *bytes as f64 / *ids as f64)
        }
        None => "how many IDs are remembered is not known: the user may not call MEMORY USAGE".to_owned(),
    };
    Finding::note("redis", "memory", says)
}

fn clock(probe: &Probe) -> Finding {
    let apart = Duration::from_millis(probe.clock_ahead_ms.unsigned_abs());
    let which = if probe.clock_ahead_ms < 0 { "behind" } else { "ahead of" };
    let says = format!(
        "its clock is {} ms {which} this machine's (to within {} ms)",
        apart.as_millis(),
        probe.clock_error.as_millis().max(1)
    );
    if apart >= WRONG {
        let says = format!(
            "{says}: ages of messages are wrong by that; what is remembered for how long is decided by its clock"
        );
        return Finding::warning("redis", "clock", says, "let both follow a time server");
    }
    match apart >= NOTABLE {
        true => Finding::note("redis", "clock", format!("{says}; let both follow a time server")),
        false => Finding::note("redis", "clock", says),
    }
}
