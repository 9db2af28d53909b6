//! Members of JSON objects, in text that may be cut off or not quite JSON.
//!
//! JSON is read exactly. Everything else is read as far as its brackets and quotes show what it is: numbers that are none
//! (`NaN`), names and texts without quotes or in single ones, missing or spare commas, and text around an object.

use std::borrow::Cow;

/// What was found of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Null,
    /// A text, its escapes resolved, or a word: a number, `true`, `NaN`.
    Text(String),
    /// An array or an object.
    Nested,
    /// The text ends within the value.
    Cut,
}

impl Scalar {
    /// The number that it states, also as a text: the first word of `"200 OK"`.
    pub(super) fn number(&self) -> Option<u32> {
        let Self::Text(text) = self else { return None };
        let number: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
        // `None` where it is no whole number or out of range.
        format!("{number}").parse().ok()
    }
}

/// What a text is, as far as its brackets show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One object or array, read to its end.
    Whole,
    /// The beginning of one.
    Cut,
    /// Anything else, such as text with an object in it.
    Other,
}

/// The text ended.
struct Ended;

/// Reads the member of this name in the outermost objects, in any letter case: so do the usual readers of JSON in Go and
/// .NET. Of several the last counts.
pub(super) fn member(text: &str, name: &str) -> (Option<Scalar>, Form) {
    let mut value = None;
    let form = outermost(text, &mut |reader, found| {
        match found {
            None => reader.skip()?,
            Some(found) if found.eq_ignore_ascii_case(name) => {
                value = Some(Scalar::Cut);
                value = Some(reader.scalar()?);
            }
            Some(_) => {}
        }
        Ok(())
    });
    (value, form)
}

/// What was found of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    /// Whether there is a member of this name that is an array or an object.
    pub(super) is_there: bool,
    pub(super) form: Form,
}

/// Reads these members of the objects in an array that is a member of this name, of the outermost objects. `each` gets them
/// for each object that was read to its end, and whether the array stands alone, outside of an object.
pub(super) fn elements<const N: usize>(
    text: &str,
    name: &str,
    members: [&str; N],
    mut each: impl FnMut([Option<Scalar>; N], bool),
) -> List {
    let mut is_there = false;
    let form = outermost(text, &mut |reader, found| {
        let is_alone = found.is_none();
        if !is_alone && !found.is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        if !is_alone {
            match reader.peek() {
                Some('[') => reader.next()?,
                Some('{') => {
                    is_there = true;
                    return Ok(());
                }
                _ => return Ok(()),
            };
            is_there = true;
        }
        loop {
            match reader.next()? {
                Token::Open('{') => {
                    let mut values = [const { None }; N];
                    reader.members(&mut |reader, found| {
                        if let Some(at) = members.iter().position(|member| member.eq_ignore_ascii_case(found)) {
                            values[at] = Some(reader.scalar()?);
                        }
                        Ok(())
                    })?;
                    each(values, is_alone);
                }
                Token::Open(_) => reader.skip()?,
                Token::Close => return Ok(()),
                Token::Colon | Token::Comma | Token::Text(_) => {}
            }
        }
    });
    List { is_there, form }
}

/// Whether one of `values` follows the word `name`, with nothing but signs and spaces between: for text whose structure
/// cannot be read.
pub(super) fn mentions(text: &str, name: &str, is_value: impl Fn(&str) -> bool) -> bool {
    let text = text.to_ascii_lowercase();
    let is_word = |char: char| char.is_alphanumeric();
    text.match_indices(name).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let behind = text.get(at + name.len()..).unwrap_or_default();
        let value = behind.trim_start_matches(|char| !is_word(char));
        let end = value.find(|char| !is_word(char)).unwrap_or(value.len());
        let is_near = (1..=MOST_SIGNS).contains(&(behind.len() - value.len()));
        !before.is_some_and(is_word) && is_near && value.get(..end).is_some_and(&is_value)
    })
}

/// How many signs and spaces may stand between a name and its value.
const MOST_SIGNS: usize = 16;

/// Gets a reader at a value, and the name of the member that it belongs to.
type Visit<'t, 'v> = dyn FnMut(&mut Reader<'t>, Option<&str>) -> Result<(), Ended> + 'v;

/// Calls `visit` at the value of each member of the outermost objects, with its name, and within each outermost array,
/// without one. It has to read an array to its end, and may leave a value unread.
fn outermost<'t>(text: &'t str, visit: &mut Visit<'t, '_>) -> Form {
    let (mut reader, mut count, mut is_alone) = (Reader { rest: text, may_quote: true }, 0, true);
    loop {
        let start = reader.rest.find(['{', '[']);
        let (between, rest) = reader.rest.split_at(start.unwrap_or(reader.rest.len()));
        is_alone &= between.trim().is_empty();
        reader = Reader { rest, may_quote: true };
        let read = match reader.next() {
            Ok(Token::Open('{')) => reader.members(&mut |reader, name| visit(reader, Some(name))),
            Ok(_) => visit(&mut reader, None),
            Err(Ended) => return if count == 1 && is_alone { Form::Whole } else { Form::Other },
        };
        count += 1;
        if read.is_err() {
            return if count == 1 && is_alone { Form::Cut } else { Form::Other };
        }
    }
}

enum Token<'t> {
    Open(char),
    Close,
    Colon,
    Comma,
    Text(Cow<'t, str>),
}

struct Reader<'t> {
    rest: &'t str,
    /// Whether a single quote begins a text: where a name or a value is expected. Elsewhere it is an apostrophe.
    may_quote: bool,
}

impl<'t> Reader<'t> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn next(&mut self) -> Result<Token<'t>, Ended> {
        let may_quote = std::mem::replace(&mut self.may_quote, true);
        let first = self.peek().ok_or(Ended)?;
        let token = match first {
            '{' | '[' => Token::Open(first),
            '}' | ']' => Token::Close,
            ':' => Token::Colon,
            ',' => Token::Comma,
            '"' => return self.quoted(first),
            '\'' if may_quote => return self.quoted(first),
            _ => return self.word(),
        };
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.may_quote = !matches!(token, Token::Close);
        Ok(token)
    }

    fn quoted(&mut self, quote: char) -> Result<Token<'t>, Ended> {
        self.may_quote = false;
        let (mut is_escaped, text) = (false, self.rest.get(1..).unwrap_or_default());
        let end = text.find(|char| {
            let is_end = char == quote && !is_escaped;
            is_escaped = char == '\\' && !is_escaped;
            is_end
        });
        let end = end.ok_or(Ended)?;
        let written = self.rest.get(..end + 2).unwrap_or_default();
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        let text = text.get(..end).unwrap_or_default();
        Ok(Token::Text(match text.contains('\\') {
            // A text with escapes that stand for nothing stays as it is written.
            true => serde_json::from_str(written).map_or(Cow::Borrowed(text), Cow::Owned),
            false => Cow::Borrowed(text),
        }))
    }

    /// Without the end of the word it is not known.
    fn word(&mut self) -> Result<Token<'t>, Ended> {
        self.may_quote = false;
        let ends = |char: char| matches!(char, '{' | '}' | '[' | ']' | ':' | ',' | '"') || char.is_whitespace();
        let end = self.rest.find(ends).ok_or(Ended)?;
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(Token::Text(Cow::Borrowed(word)))
    }

    /// Reads the members of an object whose brace was read. `visit` may leave a value unread.
    fn members(&mut self, visit: &mut dyn FnMut(&mut Self, &str) -> Result<(), Ended>) -> Result<(), Ended> {
        let mut name = None;
        loop {
            match self.next()? {
                Token::Close => return Ok(()),
                Token::Comma => name = None,
                Token::Text(text) => name = Some(text),
                Token::Open(_) => self.skip()?,
                Token::Colon => {
                    if let Some(name) = name.take() {
                        visit(self, &name)?;
                    }
                }
            }
        }
    }

    /// Reads a value, an array or object to its end.
    fn scalar(&mut self) -> Result<Scalar, Ended> {
        // What ends a member is left for the reader of the object.
        if matches!(self.peek(), Some(',' | '}' | ']')) {
            return Ok(Scalar::Null);
        }
        let is_text = matches!(self.peek(), Some('"' | '\''));
        Ok(match self.next()? {
            Token::Text(text) if !is_text && matches!(&*text, "null" | "None" | "nil" | "undefined") => Scalar::Null,
            Token::Text(text) => Scalar::Text(text.into_owned()),
            Token::Open(_) => {
                self.skip()?;
                Scalar::Nested
            }
            Token::Close | Token::Colon | Token::Comma => Scalar::Null,
        })
    }

    /// Reads on to the end of the array or object whose bracket was read.
    fn skip(&mut self) -> Result<(), Ended> {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next()? {
                Token::Open(_) => depth += 1,
                Token::Close => depth -= 1,
                Token::Colon | Token::Comma | Token::Text(_) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<Scalar> {
        Some(Scalar::Text(text.to_owned()))
    }

    #[test]
    fn member_of_json_is_read() {
        for (json, value) in [
            (r#"{"status":"A"}"#, text("A")),
            (r#" {"x":{"status":"B"},"Status":"A"} "#, text("A")),
            (r#"{"status":"A","status":"B"}"#, text("B")),
            (r#"{"a":[{"status":"B"}],"b":"status","status" : "A" , "c":{}}"#, text("A")),
            (r#"{"a":"}\",\"status\":\"B","st\u0061tus":"\"A\\"}"#, text("\"A\\")),
            (r#"{"a":"it's","status":"it's"}"#, text("it's")),
            (r#"{"status":-1.5e3}"#, text("-1.5e3")),
            (r#"{"status":true}"#, text("true")),
            (r#"{"status":"null"}"#, text("null")),
            (r#"{"status":null}"#, Some(Scalar::Null)),
            (r#"{"status":{"status":"B"}}"#, Some(Scalar::Nested)),
            (r#"{"status":[]}"#, Some(Scalar::Nested)),
            (r#"{"x":{"status":"B"}}"#, None),
            ("{}", None),
            (r#"[{"status":"B"}]"#, None),
        ] {
            assert_eq!(member(json, "status"), (value, Form::Whole), "{json}");
        }
        let deep = format!("{{\"a\":{}{},\"status\":\"A\"}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(member(&deep, "status"), (text("A"), Form::Whole));
    }

    #[test]
    fn member_of_a_cut_object_is_read() {
        for (json, value) in [
            (r#"{"status":"A","long":"xxxx"#, text("A")),
            (r#"{"status":"A"#, Some(Scalar::Cut)),
            (r#"{"status":"A\"#, Some(Scalar::Cut)),
            (r#"{"status":nu"#, Some(Scalar::Cut)),
            (r#"{"status":"#, Some(Scalar::Cut)),
            (r#"{"status":{"a":1"#, Some(Scalar::Cut)),
            (r#"{"status"#, None),
            ("{", None),
            ("[1", None),
        ] {
            assert_eq!(member(json, "status"), (value, Form::Cut), "{json}");
        }
    }

    #[test]
    fn member_of_what_is_not_quite_json_is_read() {
        for (json, value, form) in [
            (r#"{"x":NaN,"status":"A"}"#, text("A"), Form::Whole),
            (r#"{"x":-Infinity,"status":"A",}"#, text("A"), Form::Whole),
            ("{'x': 'it\\'s \"it\"', 'status': 'A'}", text("A"), Form::Whole),
            ("{'status': None}", Some(Scalar::Null), Form::Whole),
            ("{x: it's, status: A}", text("A"), Form::Whole),
            (r#"{"x":1 "status":"A"}"#, text("A"), Form::Whole),
            (r#"{"x":"he said "no"","status":"A"}"#, text("A"), Form::Whole),
            ("{\"x\":\"a\nb\",\"status\":\"A\"}", text("A"), Form::Whole),
            (r#"{"x":,"status":"A"}"#, text("A"), Form::Whole),
            (r#"{"status":}"#, Some(Scalar::Null), Form::Whole),
            ("{2 events handled}", None, Form::Whole),
            (r#"{"status":"A"};"#, text("A"), Form::Other),
            (r#"{"status":"A"} trailing"#, text("A"), Form::Other),
            ("Warning: it's old\n{\"status\":\"A\"}", text("A"), Form::Other),
            ("{\"a\":1}\n{\"status\":\"A\"}", text("A"), Form::Other),
            ("<p>{", None, Form::Other),
            ("", None, Form::Other),
        ] {
            assert_eq!(member(json, "status"), (value, form), "{json}");
        }
    }

    fn numbers(json: &str) -> (Vec<Option<u32>>, bool, Form) {
        let mut found = Vec::new();
        let list = elements(json, "a", ["n"], |[n], _| found.push(n.and_then(|n| n.number())));
        (found, list.is_there, list.form)
    }

    #[test]
    fn elements_of_a_list_are_read() {
        for (json, found, is_there, form) in [
            (r#"{"a":[{"n":1},{"N":2}]}"#, vec![Some(1), Some(2)], true, Form::Whole),
            (
                r#"{"A":[7,{"n":"1"},null,[{"n":9}],{"n":2.0,"x":[{"n":9}]}]}"#,
                vec![Some(1), Some(2)],
                true,
                Form::Whole,
            ),
            (
                r#"{"a":[{"n":"200 OK"},{"n":NaN},{"n":1.5},{"n":-1},{}]}"#,
                vec![Some(200), None, None, None, None],
                true,
                Form::Whole,
            ),
            (r#"{"b":NaN,"a":[{"n":1}]};"#, vec![Some(1)], true, Form::Other),
            (r#"{"a":[{"n":1},{"n":2"#, vec![Some(1)], true, Form::Cut),
            (r#"{"a":["#, vec![], true, Form::Cut),
            (r#"{"a":[]}"#, vec![], true, Form::Whole),
            (r#"{"a":{"n":1}}"#, vec![], true, Form::Whole),
            (r#"{"a":null}"#, vec![], false, Form::Whole),
            (r#"{"a":7}"#, vec![], false, Form::Whole),
            (r#"{"b":{"a":[{"n":1}]}}"#, vec![], false, Form::Whole),
            (r#"[{"n":1},{"n":2}]"#, vec![Some(1), Some(2)], false, Form::Whole),
            ("{}", vec![], false, Form::Whole),
        ] {
            assert_eq!(numbers(json), (found, is_there, form), "{json}");
        }
    }

    #[test]
    fn value_behind_a_name_is_noticed_in_any_text() {
        let is_retry = |value: &str| value == "retry";
        for text in ["status: retry", r#""{\"status\":\"RETRY\"}""#, "<Status>Retry</Status>", "status=>'retry'"] {
            assert!(mentions(text, "status", is_retry), "{text}");
        }
        for text in ["statusretry", "a status of retrying", "mystatus: retry", "status", "status: no retry", ""] {
            assert!(!mentions(text, "status", is_retry), "{text}");
        }
    }
}
