//! The table at the end.

use std::fmt;

/// Sections of rows; printed once, when all is measured.
#[derive(Debug, Default)]
pub struct Table {
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Section {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a section; the first column says what was measured.
    pub fn section(&mut self, title: &str, columns: &[&str]) {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        self.sections.push(Section { title: title.to_owned(), columns, rows: Vec::new() });
    }

    /// Adds a row to the section that was begun last.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.sections.last_mut().expect("a section").rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Section { title, columns, rows } in &self.sections {
            let width = |i: usize| {
                let cells = rows.iter().filter_map(|row| row.get(i)).chain([&columns[i]]);
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            };
            let widths: Vec<usize> = (0..columns.len()).map(width).collect();
            let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
                write!(f, "|")?;
                for (i, width) in widths.iter().enumerate() {
                    let cell = cells.get(i).map_or("", String::as_str);
                    let fill = " ".repeat(width - cell.chars().count());
                    if i == 0 { write!(f, " {cell}{fill} |")? } else { write!(f, " {fill}{cell} |")? }
                }
                writeln!(f)
            };
            writeln!(f, "\n### {title}\n")?;
            line(f, columns)?;
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            line(f, &rule)?;
            for row in rows {
                line(f, row)?;
            }
        }
        Ok(())
    }
}

/// A figure with as many digits as mean something.
pub fn figure(figure: f64) -> String {
    match figure.abs() {
        f if f.is_nan() => "-".to_owned(),
        f if f >= 100.0 => thousands(figure.round() as i64),
        f if f >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// A ratio, and whether it is what is aimed at.
pub fn ratio(ratio: f64, met: impl Fn(f64) -> bool, aim: &str) -> String {
    format!("{ratio:.2} ({aim}: {})", if met(ratio) { "met" } else { "MISSED" })
}

fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// Tells how far it is.
pub fn progress(what: &str) {
    eprintln!("bench: {what}");
}
