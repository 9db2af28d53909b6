//! The timeline of a run as an SVG picture.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::checker::{Judgement, Past};

use super::figures::{Figures, Shown};
use super::page::escape;
use super::text::seconds;

const WIDTH: f64 = 1_180.0;
/// What stands to the left of the time.
const LEFT: f64 = 150.0;
const CHART: f64 = 110.0;
const ROW: f64 = 18.0;
const GAP: f64 = 34.0;

struct Picture<'a> {
    past: &'a Past,
    figures: &'a Figures,
    out: String,
    y: f64,
}

pub fn draw(past: &Past, judgement: &Judgement, figures: &Figures) -> String {
    let mut picture = Picture { past, figures, out: String::new(), y: 22.0 };
    picture.all(judgement).expect("a string takes any text");
    let (height, body) = (picture.y + 10.0, picture.out);
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" role=\"img\" \
         aria-label=\"Timeline of the run\">{body}</svg>"
    )
}

impl Picture<'_> {
    fn all(&mut self, judgement: &Judgement) -> std::fmt::Result {
        let figures = self.figures;
        self.chart("records per second", &[("produced", &figures.produced, "a"), ("effects", &figures.effects, "b")])?;
        self.chart("records behind (lag)", &[("lag", &figures.lag, "c")])?;
        self.marks(judgement)?;
        self.faults()?;
        self.stalls()?;
        self.axis()
    }

    fn x(&self, at: u64) -> f64 {
        let (begin, end) = (self.figures.begin, self.figures.end);
        let share = at.clamp(begin, end).saturating_sub(begin) as f64 / (end - begin) as f64;
        LEFT + share * (WIDTH - LEFT - 10.0)
    }

    fn title(&mut self, text: &str) -> std::fmt::Result {
        writeln!(self.out, "<text class=\"head\" x=\"0\" y=\"{:.1}\">{}</text>", self.y, escape(text))?;
        self.y += 8.0;
        Ok(())
    }

    fn label(&mut self, text: &str) -> std::fmt::Result {
        let (x, y) = (LEFT - 8.0, self.y + ROW * 0.7);
        writeln!(self.out, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", escape(text))
    }

    fn chart(&mut self, title: &str, lines: &[(&str, &Vec<u64>, &str)]) -> std::fmt::Result {
        self.title(title)?;
        let most = lines.iter().flat_map(|(_, values, _)| values.iter()).max().copied().unwrap_or(0).max(1);
        let (top, bottom) = (self.y, self.y + CHART);
        writeln!(self.out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{most}</text>", LEFT - 8.0, top + 9.0)?;
        writeln!(self.out, "<text x=\"{}\" y=\"{bottom:.1}\" text-anchor=\"end\">0</text>", LEFT - 8.0)?;
        writeln!(
            self.out,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{bottom:.1}\" y2=\"{bottom:.1}\"/>",
            WIDTH - 10.0
        )?;
        for (index, (name, values, class)) in lines.iter().enumerate() {
            let mut points = String::new();
            for (second, value) in values.iter().enumerate() {
                let x = self.x(self.figures.begin + second as u64 * 1_000_000 + 500_000);
                write!(points, "{x:.1},{:.1} ", bottom - *value as f64 / most as f64 * CHART)?;
            }
            writeln!(self.out, "<polyline class=\"line {class}\" points=\"{points}\"/>")?;
            let y = top + 30.0 + 15.0 * index as f64;
            writeln!(self.out, "<rect class=\"{class}\" x=\"14\" y=\"{:.1}\" width=\"10\" height=\"10\"/>", y - 9.0)?;
            writeln!(self.out, "<text x=\"29\" y=\"{y:.1}\">{}</text>", escape(name))?;
        }
        self.y = bottom + GAP;
        Ok(())
    }

    fn marks(&mut self, judgement: &Judgement) -> std::fmt::Result {
        self.title("repeated effects, and violations")?;
        for (name, excused, class) in [("excused by a fault", true, "excused"), ("not excused", false, "bad")] {
            self.label(name)?;
            let all = judgement.repeats.all.iter().filter(|repeat| repeat.excused.is_some() == excused);
            for repeat in all {
                let (x, y) = (self.x(repeat.again.effect), self.y + ROW / 2.0);
                let why = repeat.excused.map_or("nothing excuses it", |excused| excused.by.text());
                let text =
                    format!("{} of {}: {why}", self.past.clock(repeat.again.effect), self.past.ids.name(repeat.id));
                writeln!(
                    self.out,
                    "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}</title></circle>",
                    escape(&text)
                )?;
            }
            self.y += ROW;
        }
        self.label("violations")?;
        for verdict in &judgement.verdicts {
            for finding in verdict.findings.iter().filter(|finding| finding.at > 0) {
                let (x, y) = (self.x(finding.at), self.y + ROW / 2.0);
                let text = escape(&format!("{}: {}", verdict.invariant, finding.text));
                writeln!(
                    self.out,
                    "<rect class=\"bad\" x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\"><title>{text}</title></rect>",
                    x - 3.5,
                    y - 3.5
                )?;
            }
        }
        self.y += ROW + GAP - 8.0;
        Ok(())
    }

    fn faults(&mut self) -> std::fmt::Result {
        self.title("faults by target")?;
        let mut rows: BTreeMap<&str, Vec<&Shown>> = BTreeMap::new();
        for fault in &self.figures.faults {
            rows.entry(&fault.target).or_default().push(fault);
        }
        for (target, faults) in rows {
            self.label(target)?;
            for fault in faults {
                let (from, to) = (self.x(fault.span.begin), self.x(fault.span.end));
                let class = if fault.graceful { "graceful" } else { "fault" };
                let recovery = fault.recovery.map_or("never".to_owned(), seconds);
                let text = format!(
                    "{} {} from {} for {}; gone on after {recovery}; {} repeats {}",
                    fault.number,
                    fault.kind,
                    self.past.clock(fault.span.begin),
                    seconds(fault.span.length()),
                    fault.repeats,
                    fault.text
                );
                let (y, width) = (self.y + 3.0, (to - from).max(2.5));
                writeln!(
                    self.out,
                    "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"12\"><title>{}</title></rect>",
                    escape(&text)
                )?;
                if width > 6.2 * fault.kind.len() as f64 {
                    let (x, y) = (from + 3.0, self.y + 12.5);
                    writeln!(self.out, "<text class=\"in\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(&fault.kind))?;
                }
            }
            self.y += ROW;
        }
        self.y += GAP - 8.0;
        Ok(())
    }

    fn stalls(&mut self) -> std::fmt::Result {
        self.title("partitions that committed nothing for 2 s and more, although records waited")?;
        let mut rows: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (part, stall) in &self.figures.stalls {
            rows.entry(part).or_default().push(*stall);
        }
        for (part, stalls) in rows {
            self.label(part)?;
            for stall in stalls {
                let (from, to) = (self.x(stall.begin), self.x(stall.end));
                let (y, width) = (self.y + 4.0, (to - from).max(2.5));
                writeln!(
                    self.out,
                    "<rect class=\"stall\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"10\"><title>{} from {}</title></rect>",
                    seconds(stall.length()),
                    self.past.clock(stall.begin),
                )?;
            }
            self.y += ROW;
        }
        self.y += 12.0;
        Ok(())
    }

    /// The times below, and lines through all where a stage begins.
    fn axis(&mut self) -> std::fmt::Result {
        let length = (self.figures.end - self.figures.begin) / 1_000_000;
        let step =
            [1, 2, 5, 10, 15, 30, 60, 120, 300, 600].into_iter().find(|step| length / step <= 15).unwrap_or(1_800);
        for second in (0..=length).step_by(step as usize) {
            let x = self.x(self.figures.begin + second * 1_000_000);
            let y = self.y + 14.0;
            let text = if step >= 60 { format!("{} min", second / 60) } else { format!("{second} s") };
            writeln!(self.out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>")?;
            writeln!(self.out, "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"28\" y2=\"{:.1}\"/>", self.y)?;
        }
        for (at, name) in [(self.past.healed_at, "faults over"), (self.past.ended_at, "end")] {
            let Some(at) = at else { continue };
            let x = self.x(at);
            writeln!(self.out, "<line class=\"stage\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"16\" y2=\"{:.1}\"/>", self.y)?;
            writeln!(self.out, "<text x=\"{x:.1}\" y=\"12\" text-anchor=\"end\">{name}</text>")?;
        }
        self.y += 20.0;
        Ok(())
    }
}
