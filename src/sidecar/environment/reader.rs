//! One variable after the other, by the table: where it was set, whether it can be read, and what is wrong with it.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use super::files::content;
use super::given::Environment;
use super::problem::{Complaint, Parsed, Problem};
use super::variable::Variable;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A variable.
    Environment,
    /// The file that the variable `…_FILE` names.
    File,
    /// A flag of the command.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Flag => "flag",
        })
    }
}

/// What is in force for one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The variable.
    pub name: String,
    /// Its value as it was written, `<hidden>` for a secret; nothing where there is none.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// What is shown in place of a secret.
const HIDDEN: &str = "<hidden>";

/// Reads variables, and collects what is wrong.
pub(super) struct Reader<'e> {
    pub(super) environment: &'e Environment,
    pub(super) problems: Vec<Problem>,
    pub(super) entries: Vec<Entry>,
}

impl<'e> Reader<'e> {
    pub(super) fn new(environment: &'e Environment) -> Self {
        Self { environment, problems: Vec::new(), entries: Vec::new() }
    }

    pub(super) fn wrong(&mut self, variable: &str, problem: impl Into<String>, way_out: impl Into<String>) {
        self.problems.push(Problem::new(variable, problem, way_out));
    }

    /// Whether somebody set it, by whichever way.
    pub(super) fn is_set(&self, variable: &Variable) -> bool {
        self.environment.has(variable.name) || variable.file().is_some_and(|file| self.environment.has(&file))
    }

    /// The value, or the default. `None` where there is neither, or the value is wrong and there is no default; then a
    /// problem was noted where one is due.
    pub(super) fn get<T>(&mut self, variable: &Variable, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let default = || Some(variable.default).filter(|default| !default.is_empty());
        let Some((text, origin)) = self.text(variable) else {
            if variable.required && !self.is_set(variable) {
                let way_out = match variable.file() {
                    Some(file) => format!("{}, or name a file with it in {file}", variable.kind.way_out()),
                    None => variable.kind.way_out(),
                };
                self.wrong(variable.name, "is missing", format!("set it: {way_out}"));
            }
            self.enter(variable, default().map(str::to_owned), Origin::Default);
            return default().and_then(|text| parse(text).ok());
        };
        match parse(&text) {
            Ok(value) => {
                self.enter(variable, Some(text), origin);
                Some(value)
            }
            Err(Complaint { problem, way_out }) => {
                let way_out = way_out.map_or_else(|| variable.kind.way_out(), Into::into);
                self.wrong(variable.name, problem, way_out);
                default().and_then(|text| parse(text).ok())
            }
        }
    }

    /// [`get`](Self::get) for what a word of the table's list says.
    pub(super) fn choose<T: Clone>(&mut self, variable: &Variable, words: &[(&str, T)]) -> Option<T> {
        self.get(variable, |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| value.clone()).ok_or(Complaint::new("is none of the words it can be"))
        })
    }

    fn enter(&mut self, variable: &Variable, value: Option<String>, origin: Origin) {
        let value = value.map(|value| if variable.secret { HIDDEN.to_owned() } else { value });
        self.entries.push(Entry { name: variable.name.to_owned(), value, origin });
    }

    /// What was set, before it is read: by a flag, by the variable, or by the file that another one names.
    fn text(&mut self, variable: &Variable) -> Option<(String, Origin)> {
        let (name, file, environment) = (variable.name, variable.file(), self.environment);
        let of_file = |find: &dyn Fn(&str) -> Option<&'e OsStr>| file.as_deref().and_then(find);
        // A flag stands before both variables, whichever of the two it is for.
        let by_flag = (environment.flag_of(name), of_file(&|file| environment.flag_of(file)));
        let by_variable = (environment.variable(name), of_file(&|file| environment.variable(file)));
        let (set, plainly, by_file) = match by_flag {
            (None, None) => (by_variable, Origin::Environment, Origin::File),
            _ => (by_flag, Origin::Flag, Origin::Flag),
        };
        match (set, file) {
            ((Some(_), Some(_)), Some(file)) => {
                self.wrong(name, format!("is set beside {file}"), "keep one of them");
                None
            }
            ((Some(value), _), _) => self.plain(name, value).map(|text| (text, plainly)),
            ((None, Some(path)), Some(file)) => self.content_of(&file, path).map(|text| (text, by_file)),
            _ => None,
        }
    }

    /// A value as text.
    pub(super) fn plain(&mut self, name: &str, value: &OsStr) -> Option<String> {
        match value.to_str() {
            Some("") => self.wrong(name, "is empty", "unset it, or give it a value"),
            Some(text) => return Some(text.to_owned()),
            None => self.wrong(name, "is not UTF-8", "write plain text"),
        }
        None
    }

    /// What a file holds, as text, without the line end that editors leave behind it.
    pub(super) fn content_of(&mut self, name: &str, path: &OsStr) -> Option<String> {
        if path.is_empty() {
            self.wrong(name, "is empty", "unset it, or name a file");
            return None;
        }
        let bytes = match content(Path::new(path)) {
            Ok(bytes) => bytes,
            Err(problem) => {
                self.wrong(name, problem, "name a file that this process can read");
                return None;
            }
        };
        let Ok(text) = String::from_utf8(bytes) else {
            self.wrong(name, "names a file that is not UTF-8", "write plain text into it");
            return None;
        };
        let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if text.is_empty() {
            self.wrong(name, "names a file that holds nothing but a line end", "write the secret into it");
            return None;
        }
        Some(text.to_owned())
    }
}
