//! Tokens of callers, and the store's.

use crate::store::Token;

/// What a caller's token is hashed with: another use of the same text gives another token.
const CONTEXT: &str = "hapax 1 pull token";

/// The store's token for a caller's: the first 16 bytes of BLAKE3 in key derivation mode over its text.
///
/// # Errors
///
/// Says what a token has to be.
pub(super) fn of_text(text: &str) -> Result<Token, &'static str> {
    if !(16..=128).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a token has 16 to 128 visible ASCII characters; draw it at random, such as a UUID of version 4");
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::derive_key(CONTEXT, text.as_bytes())[..16]);
    Ok(Token::from_bytes(bytes))
}

/// A new token as text: 128 random bits in 32 hexadecimal digits.
pub(super) fn draw() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_apart_and_short_ones_refused() {
        let drawn = draw();
        assert_eq!(drawn.len(), 32);
        assert_eq!(of_text(&drawn), of_text(&drawn));
        assert_ne!(of_text(&drawn), of_text(&draw()));
        assert!(of_text(&"x".repeat(16)).is_ok() && of_text(&"x".repeat(128)).is_ok());
        for wrong in
            ["", "fifteen.letters", &"x".repeat(129), "with a space in it", "sixteen.letters\n", "ünïcödé-ünïcödé"]
        {
            assert!(of_text(wrong).is_err(), "{wrong}");
        }
    }
}
