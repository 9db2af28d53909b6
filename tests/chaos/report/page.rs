//! The report as a page of its own: nothing is loaded from elsewhere.

use std::fmt::Write;

use crate::checker::{Judgement, Past, State};

use super::figures::Figures;
use super::text::{headline, seconds, state};
use super::timeline;

const STYLE: &str = "
:root { --ink: #1d2530; --soft: #5d6875; --paper: #ffffff; --line: #d9dee5; --good: #1a7f4b; --bad: #c0262d; --amber: #b56a00;
  --a: #8fa3bf; --b: #1f6feb; --c: #8a5cd1; --stall: #d9822b; --fault: #cf5c60; --graceful: #7fa98f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9aa5b3; --paper: #14181e; --line: #323a45; --good: #4cc38a;
  --bad: #ff6b70; --amber: #f0b45a; --a: #6d8099; --b: #6aa8ff; --c: #b893f0; --stall: #e09a4e; --fault: #c9565b; --graceful: #5f8f72; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1180px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: .2em; } h2 { font-size: 1.15em; margin-top: 2em; }
.good { color: var(--good); } .bad-text { color: var(--bad); } .soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3em .8em .3em 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
ul { margin: .3em 0; padding-left: 1.2em; } .scroll { overflow-x: auto; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .8em; margin: 1em 0; } dt { color: var(--soft); font-size: .9em; } dd { margin: 0; font-size: 1.3em; font-variant-numeric: tabular-nums; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); } svg text.head { font-weight: 600; fill: var(--ink); font-size: 12px; } svg text.in { fill: #fff; font-size: 10px; }
.line { fill: none; stroke-width: 1.5; } polyline.a { stroke: var(--a); } polyline.b { stroke: var(--b); } polyline.c { stroke: var(--c); }
rect.a { fill: var(--a); } rect.b { fill: var(--b); } rect.c { fill: var(--c); }
.axis, .tick { stroke: var(--line); } .tick { stroke-dasharray: 2 4; } .stage { stroke: var(--good); stroke-dasharray: 6 3; }
.fault { fill: var(--fault); opacity: .9; } .graceful { fill: var(--graceful); opacity: .9; } .stall { fill: var(--stall); } .excused { fill: var(--amber); } circle.bad, rect.bad { fill: var(--bad); }
";

pub fn write(past: &Past, judgement: &Judgement, figures: &Figures) -> String {
    let mut out = String::new();
    page(&mut out, past, judgement, figures).expect("a string takes any text");
    out
}

/// A text as it may stand in a page.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(out: &mut String, past: &Past, judgement: &Judgement, figures: &Figures) -> std::fmt::Result {
    let run = &past.run;
    let (title, class) = (headline(judgement), if judgement.passed() { "good" } else { "bad-text" });
    writeln!(out, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(out, "<title>Chaos run, seed {}</title><style>{STYLE}</style></head><body>", run.seed)?;
    writeln!(out, "<h1 class=\"{class}\">{}</h1>", escape(&title))?;
    let versions: Vec<String> = run.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    writeln!(
        out,
        "<p class=\"soft\">mode {} · seed {} · store {} · {} {}</p>",
        escape(&run.mode),
        run.seed,
        escape(&run.store),
        seconds(figures.end - figures.begin),
        escape(&versions.iter().map(|version| format!("· {version}")).collect::<Vec<_>>().join(" ")),
    )?;
    writeln!(out, "<dl>")?;
    for (name, value) in [
        ("records in the log", figures.records.to_string()),
        ("sent again on purpose", figures.copies.to_string()),
        ("effects", judgement.repeats.effects.to_string()),
        ("repeated effects", judgement.repeats.all.len().to_string()),
        ("duplicates dropped", figures.duplicates.to_string()),
        ("dead letters", figures.letters.to_string()),
        ("faults", figures.faults.len().to_string()),
        ("no lag after the last fault in", figures.healed_in.map_or("never".to_owned(), seconds)),
    ] {
        writeln!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    writeln!(
        out,
        "</dl><h2>Timeline</h2><p class=\"soft\">Point at a bar or a mark to read what it is. Green bars are faults \
        with time to act (graceful), red ones are not.</p>"
    )?;
    writeln!(out, "<div class=\"scroll\">{}</div>", timeline::draw(past, judgement, figures))?;
    verdicts(out, judgement)?;
    repeats(out, judgement, figures)?;
    faults(out, figures)?;
    writeln!(out, "</body></html>")
}

fn verdicts(out: &mut String, judgement: &Judgement) -> std::fmt::Result {
    writeln!(
        out,
        "<h2>Promises</h2><table><tr><th></th><th>promise</th><th>verdict</th><th class=\"n\">looked at</th></tr>"
    )?;
    for verdict in &judgement.verdicts {
        let class = match verdict.state {
            State::Held => "good",
            State::Elsewhere(_) => "soft",
            State::Violated | State::Unproven(_) => "bad-text",
        };
        write!(out, "<tr><td>{}</td><td>{}", verdict.invariant, escape(verdict.title))?;
        if !verdict.notes.is_empty() || !verdict.findings.is_empty() {
            write!(out, "<ul>")?;
            for note in &verdict.notes {
                write!(out, "<li class=\"soft\">{}</li>", escape(note))?;
            }
            for finding in &verdict.findings {
                write!(out, "<li class=\"bad-text\">{}</li>", escape(&finding.text))?;
            }
            write!(out, "</ul>")?;
        }
        let (text, checked) = (escape(&state(verdict)), verdict.checked);
        writeln!(out, "</td><td class=\"{class}\">{text}</td><td class=\"n\">{checked}</td></tr>")?;
    }
    writeln!(out, "</table>")
}

fn repeats(out: &mut String, judgement: &Judgement, figures: &Figures) -> std::fmt::Result {
    writeln!(
        out,
        "<h2>Repeated effects, and what hapax reported</h2><table><tr><th>what happened</th><th class=\"n\">times</th></tr>"
    )?;
    for (excuse, count) in judgement.repeats.by_excuse() {
        let text = excuse.map_or("repeated, and nothing excuses it", |excuse| excuse.text());
        writeln!(out, "<tr><td>{}</td><td class=\"n\">{count}</td></tr>", escape(text))?;
    }
    for (name, count) in [
        ("reported: overruns", figures.overruns),
        ("reported: possible overruns", figures.possible_overruns),
        ("reported: suspects taken over", figures.suspects),
        ("reported: leases lost", figures.leases_lost),
    ] {
        writeln!(out, "<tr><td class=\"soft\">{name}</td><td class=\"n\">{count}</td></tr>")?;
    }
    writeln!(out, "</table>")
}

fn faults(out: &mut String, figures: &Figures) -> std::fmt::Result {
    writeln!(
        out,
        "<h2>Faults and progress</h2><table><tr><th>kind</th><th class=\"n\">count</th><th class=\"n\">longest</th>\
         <th class=\"n\">gone on after</th><th class=\"n\">repeats</th></tr>"
    )?;
    for (name, kind) in &figures.kinds {
        writeln!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(name),
            kind.count,
            seconds(kind.longest),
            seconds(kind.recovery),
            kind.repeats,
        )?;
    }
    writeln!(out, "</table><ul>")?;
    if let Some((part, stall)) = figures.longest_stall() {
        writeln!(out, "<li>Longest time without a commit: {} ({})</li>", seconds(stall.length()), escape(part))?;
    }
    if let Some((life, bytes)) = figures.memory.iter().max_by_key(|(_, bytes)| *bytes) {
        writeln!(out, "<li>Most memory of a worker: {} MiB ({})</li>", bytes >> 20, escape(life))?;
    }
    writeln!(out, "</ul>")
}
