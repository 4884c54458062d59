//! Reading JSON of a peer as JSON Schema sees it: `7.0` is a whole number there, and some languages write it so.

use serde::de::DeserializeOwned;
use serde_json::{Error, Number, Value};

/// Reads a value; a number without a fraction may be written with one.
///
/// # Errors
/// That of the text as it stands.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let error = match serde_json::from_slice(bytes) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    match whole(bytes) {
        Some(whole) => serde_json::from_value(whole).map_err(|_| error),
        None => Err(error),
    }
}

/// Returns the value with every whole number written as one; nothing where the text is no JSON, or had none to rewrite.
pub fn whole(bytes: &[u8]) -> Option<Value> {
    let mut value = serde_json::from_slice(bytes).ok()?;
    rewrite(&mut value).then_some(value)
}

fn rewrite(value: &mut Value) -> bool {
    match value {
        Value::Number(number) => match whole_number(number) {
            Some(whole) => {
                *number = whole;
                true
            }
            None => false,
        },
        // No short cut: each of them has to be rewritten.
        Value::Array(items) => items.iter_mut().fold(false, |any, item| rewrite(item) | any),
        Value::Object(fields) => fields.values_mut().fold(false, |any, field| rewrite(field) | any),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

fn whole_number(number: &Number) -> Option<Number> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    // Beyond this a double does not tell one whole number from the next.
    if float.fract() != 0.0 || float.abs() > EXACT_MAX {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it has no fraction and lies well within an i64"
    )]
    let whole = float as i64;
    Some(Number::from(whole))
}

/// 2^53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(
                read::<Vec<u64>>(text.as_bytes()).ok(),
                expected.map(|number| vec![number]),
                "{text}"
            );
        };
        check("[7]", Some(7));
        check("[7.0]", Some(7));
        check("[7e0]", Some(7));
        check("[-0.0]", Some(0));
        check("[7.5]", None);
        check("[-1.0]", None);
        check("[1e300]", None);
        check("[9007199254740994.0]", None);
        check("[", None);
    }
}
