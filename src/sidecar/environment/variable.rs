//! One variable: its name, what it takes, and what it is for.

use super::given::PREFIX;

/// One variable of the environment, as `hapax config --markdown` shows it.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name, `HAPAX_` included.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is where it is not set, as one would write it; empty: nothing.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Whether its value is never shown, and whether there is a `…_FILE` for it.
    pub secret: bool,
    /// Whether it must be set.
    pub required: bool,
    /// With which delivery it means something; `None`: with each.
    pub delivery: Option<&'static str>,
    /// Whether it means something only where the store is Redis.
    pub redis: bool,
    /// As what the library complains of it; empty: never.
    pub(super) library: &'static str,
}

impl Variable {
    pub(super) const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        let (default, library) = ("", "");
        Self { name, kind, default, help, secret: false, required: false, delivery: None, redis: false, library }
    }

    pub(super) const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) const fn push(mut self) -> Self {
        self.delivery = Some("push");
        self
    }

    pub(super) const fn pull(mut self) -> Self {
        self.delivery = Some("pull");
        self
    }

    pub(super) const fn redis(mut self) -> Self {
        self.redis = true;
        self
    }

    pub(super) const fn library(mut self, name: &'static str) -> Self {
        self.library = name;
        self
    }

    /// The variable that names a file with the secret.
    pub fn file(&self) -> Option<String> {
        self.secret.then(|| format!("{}_FILE", self.name))
    }

    /// The variable that has a flag, and the flag without its dashes: a secret itself has none, for everybody on the
    /// machine can see the arguments of a process.
    pub fn flag(&self) -> (String, String) {
        let variable = self.file().unwrap_or_else(|| self.name.to_owned());
        let flag = variable.trim_start_matches(PREFIX).to_ascii_lowercase().replace('_', "-");
        (variable, flag)
    }
}

/// What a variable takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Number,
    /// A number from 0 to 1.
    Share,
    /// A time with its unit.
    Duration,
    /// A number of bytes with its unit.
    Size,
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An address to listen on.
    Address,
    /// An `http` or `https` URL.
    Url,
    /// The path of a file that must be there.
    Path,
    /// A form of its own, by an example.
    Like(&'static str),
}

impl Kind {
    /// What it takes, in a word or an example.
    pub fn shown(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Number => "number".to_owned(),
            Self::Share => "share".to_owned(),
            Self::Duration => "duration".to_owned(),
            Self::Size => "size".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Choice(words) => words.join(", "),
            Self::Address => "IP:port".to_owned(),
            Self::Url => "URL".to_owned(),
            Self::Path => "file".to_owned(),
            Self::Like(example) => format!("like {example}"),
        }
    }

    /// What it takes, in one word, as in `--group <TEXT>`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Text | Self::Like(_) => "TEXT",
            Self::Number => "NUMBER",
            Self::Share => "SHARE",
            Self::Duration => "DURATION",
            Self::Size => "SIZE",
            Self::Boolean => "BOOLEAN",
            Self::Choice(_) => "WORD",
            Self::Address => "ADDRESS",
            Self::Url => "URL",
            Self::Path => "FILE",
        }
    }

    /// How it is written.
    pub(super) fn way_out(self) -> String {
        match self {
            Self::Text => "write a text".to_owned(),
            Self::Number => "write a whole number in digits, such as 64".to_owned(),
            Self::Share => "write a number from 0 to 1, such as 0.1".to_owned(),
            Self::Duration => "write a whole number with its unit, such as 500ms, 30s, 10m, 24h or 7d".to_owned(),
            Self::Size => "write a whole number with its unit, such as 512KiB, 64MiB or 10MB".to_owned(),
            Self::Boolean => "write true or false".to_owned(),
            Self::Choice(words) => format!("choose one of {}", words.join(", ")),
            Self::Address => "write an IP address and a port, such as 127.0.0.1:7171 or [::1]:7171".to_owned(),
            Self::Url => "write a URL such as http://127.0.0.1:8080/messages".to_owned(),
            Self::Path => "name a file that this process can read".to_owned(),
            Self::Like(example) => format!("write it like {example}"),
        }
    }
}

/// Variables that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The heading.
    pub title: &'static str,
    /// In the order in which they are shown.
    pub variables: &'static [&'static Variable],
}
