//! The report of a run, for people: a text, and a page with a timeline.

mod figures;
mod page;
mod text;
mod timeline;

use std::fs;
use std::io;
use std::path::Path;

use super::checker::{Judgement, Past};

use figures::Figures;

/// Writes `report.txt` and `report.html` into a directory; returns the text.
pub fn write(past: &Past, judgement: &Judgement, directory: &Path) -> io::Result<String> {
    let figures = Figures::of(past, judgement);
    let text = text::write(past, judgement, &figures);
    fs::write(directory.join("report.txt"), &text)?;
    fs::write(directory.join("report.html"), page::write(past, judgement, &figures))?;
    Ok(text)
}
