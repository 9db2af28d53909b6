//! As much of JSON Schema as the OpenAPI document uses; any other keyword panics, so that nothing goes unchecked.

use serde_json::Value;

/// What of `value` the schema does not allow; empty where it fits.
pub fn misfits(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut misfits = Vec::new();
    for (keyword, rule) in schema.as_object().expect("a schema") {
        match keyword.as_str() {
            "description" => {}
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                let schema = document.pointer(pointer).unwrap_or_else(|| panic!("{rule} does not exist"));
                misfits.extend(self::misfits(document, schema, value));
            }
            "type" => {
                let fits = match rule.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("the type {other}"),
                };
                if !fits {
                    misfits.push(format!("{value} is not {rule}"));
                }
            }
            "enum" if !rule.as_array().unwrap().contains(value) => misfits.push(format!("{value} is none of {rule}")),
            "enum" => {}
            "minimum" if value.as_f64() < rule.as_f64() => misfits.push(format!("{value} is less than {rule}")),
            "maximum" if value.as_f64() > rule.as_f64() => misfits.push(format!("{value} is more than {rule}")),
            "minLength" | "maxLength" | "pattern" | "minimum" | "maximum" | "minItems" => {}
            "required" => {
                let missing =
                    rule.as_array().unwrap().iter().filter(|name| value.get(name.as_str().unwrap()).is_none());
                misfits.extend(missing.map(|name| format!("{name} is missing in {value}")));
            }
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = rule.get(name) {
                        misfits.extend(self::misfits(document, schema, value));
                    }
                }
            }
            "additionalProperties" => {
                let known = |name: &str| schema.get("properties").is_some_and(|known| known.get(name).is_some());
                for (name, value) in value.as_object().into_iter().flatten().filter(|(name, _)| !known(name)) {
                    match rule.as_bool() {
                        Some(true) => {}
                        Some(false) => misfits.push(format!("{name} is not known")),
                        None => misfits.extend(self::misfits(document, rule, value)),
                    }
                }
            }
            "items" => {
                let items = value.as_array().into_iter().flatten();
                misfits.extend(items.flat_map(|value| self::misfits(document, rule, value)));
            }
            "oneOf" => {
                let tried: Vec<_> =
                    rule.as_array().unwrap().iter().map(|rule| self::misfits(document, rule, value)).collect();
                if tried.iter().filter(|misfits| misfits.is_empty()).count() != 1 {
                    misfits.push(format!("{value} fits not exactly one: {tried:?}"));
                }
            }
            other => panic!("the keyword {other}"),
        }
    }
    misfits
}

/// Whether an answer of a path is one that the document describes.
pub fn check(document: &Value, path: &str, method: &str, status: u16, body: &Value) {
    let response = &document["paths"][path][method]["responses"][status.to_string()];
    let content = response["content"].as_object().unwrap_or_else(|| panic!("{path} has no {status}: {body}"));
    for schema in content.values().map(|content| &content["schema"]) {
        let misfits = misfits(document, schema, body);
        assert!(misfits.is_empty(), "{path} {status}: {misfits:?}");
    }
}
