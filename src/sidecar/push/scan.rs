//! One member of a JSON object that may be cut off.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

/// What was found of a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<T> {
    /// The value, as far as it can be read; of a member that is there twice the last. `None` where it is missing or null.
    pub(super) value: Option<T>,
    /// Whether the object can be read to its end.
    pub(super) is_whole: bool,
}

/// Reads the member of this name, in any letter case: so do the usual readers of JSON in Go and .NET.
pub(super) fn member(json: &str, name: &str) -> Found<Value> {
    read(json, name)
}

/// Reads the member of this name as a list. The names of members of its elements are made small letters; elements of
/// another form are left out.
pub(super) fn elements<T: DeserializeOwned>(json: &str, name: &str) -> Found<Vec<T>> {
    let Found { value, is_whole } = read::<List<T>>(json, name);
    Found { value: value.map(|list| list.0), is_whole }
}

/// What can be read piece by piece, so that what was read before the end stays.
trait Put: Sized {
    fn put<'de, D: Deserializer<'de>>(into: &mut Option<Self>, from: D) -> Result<(), D::Error>;
}

impl Put for Value {
    fn put<'de, D: Deserializer<'de>>(into: &mut Option<Self>, from: D) -> Result<(), D::Error> {
        *into = Self::deserialize(from).map(|value| Some(value).filter(|value| !value.is_null()))?;
        Ok(())
    }
}

struct List<T>(Vec<T>);

impl<T: DeserializeOwned> Put for List<T> {
    fn put<'de, D: Deserializer<'de>>(into: &mut Option<Self>, from: D) -> Result<(), D::Error> {
        from.deserialize_any(Elements(into))
    }
}

struct Elements<'a, T>(&'a mut Option<List<T>>);

impl<'de, T: DeserializeOwned> Visitor<'de> for Elements<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        *self.0 = None;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let list = self.0.insert(List(Vec::new()));
        while let Some(element) = elements.next_element::<Value>()? {
            list.0.extend(serde_json::from_value(in_small_letters(element)).ok());
        }
        Ok(())
    }
}

/// The same element with the names of its members in small letters.
fn in_small_letters(element: Value) -> Value {
    match element {
        Value::Object(members) => members.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
        other => other,
    }
}

fn read<P: Put>(json: &str, name: &str) -> Found<P> {
    let (mut value, mut reader) = (None, serde_json::Deserializer::from_str(json));
    let read = reader.deserialize_map(Members { name, value: &mut value });
    Found { is_whole: read.is_ok() && reader.end().is_ok(), value }
}

struct Members<'a, P> {
    name: &'a str,
    value: &'a mut Option<P>,
}

impl<'de, P: Put> Visitor<'de> for Members<'_, P> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            match name.eq_ignore_ascii_case(self.name) {
                true => members.next_value_seed(Into(&mut *self.value))?,
                false => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Into<'a, P>(&'a mut Option<P>);

impl<'de, P: Put> DeserializeSeed<'de> for Into<'_, P> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        P::put(self.0, from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn member_of_a_cut_object_is_read() {
        for (json, value, is_whole) in [
            (r#"{"status":"A"}"#, Some(json!("A")), true),
            (r#" {"x":{"status":"B"},"Status":"A"} "#, Some(json!("A")), true),
            (r#"{"status":"A","status":"B"}"#, Some(json!("B")), true),
            (r#"{"status":"A","long":"xxxx"#, Some(json!("A")), false),
            (r#"{"status":"A"} trailing"#, Some(json!("A")), false),
            (r#"{"status":"A"#, None, false),
            (r#"{"status":nu"#, None, false),
            (r#"{"status":null}"#, None, true),
            ("{}", None, true),
            ("[]", None, false),
            ("", None, false),
        ] {
            assert_eq!(member(json, "status"), Found { value, is_whole }, "{json}");
        }
    }

    #[test]
    fn elements_of_a_cut_list_are_read() {
        for (json, value, is_whole) in [
            (r#"{"a":[1,2]}"#, Some(vec![1, 2]), true),
            (r#"{"A":[1,"x",null,2]}"#, Some(vec![1, 2]), true),
            (r#"{"a":[1,[2"#, Some(vec![1]), false),
            (r#"{"a":["#, Some(vec![]), false),
            (r#"{"a":[]}"#, Some(vec![]), true),
            (r#"{"a":null}"#, None, true),
            (r#"{"a":{}}"#, None, false),
            (r#"{"a":7}"#, None, false),
            ("{}", None, true),
        ] {
            assert_eq!(elements::<u64>(json, "a"), Found { value, is_whole }, "{json}");
        }
    }
}
