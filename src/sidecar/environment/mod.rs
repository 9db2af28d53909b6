//! From the environment to [`Settings`](super::Settings): all mistakes at once, by name, never by value.
//!
//! `Environment -> Reader, by the table of variables -> Settings -> the library's own checks -> Read or Problems`
//!
//! The [table](variables) is the only place that knows a variable's name, default and text: the reader, the flags,
//! `hapax config` and the page [configuration](crate::docs::configuration) are all made from it. Nothing here looks at the
//! process: what was set is an argument.

mod files;
mod fill;
mod given;
mod ids;
mod kafka;
mod kubernetes;
mod lists;
mod names;
mod page;
mod problem;
mod read;
mod reader;
mod table;
#[cfg(test)]
mod tests;
mod translate;
mod urls;
mod values;
mod variable;

pub use given::Environment;
pub use page::{page, short_page};
pub use problem::{Problem, Problems, Warning};
pub use read::Read;
pub use reader::{Entry, Origin};
pub use table::variables;
pub use variable::{Group, Kind, Variable};

pub(super) use translate::variable_of;
