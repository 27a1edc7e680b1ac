//! Words that Rhai keeps for itself and kelvin's options use.

use std::cell::Cell;

use rhai::{Engine, Token};

/// Reads `until` as a name where a key of a map stands, as in `#{ until: 0.01 }`; Rhai knows the
/// word from `do { … } until …`.
pub(super) fn free(engine: &mut Engine) {
    // Whether the token before was `#{` or a comma; after them no loop's condition can begin.
    let before_key = Cell::new(false);
    // Rhai marks the call so because it may change.
    #[allow(deprecated)]
    engine.on_parse_token(move |token, _, _| {
        if matches!(token, Token::Comment(_)) {
            return token;
        }
        let is_key = before_key.replace(matches!(token, Token::MapStart | Token::Comma));
        match token {
            Token::Until if is_key => Token::Identifier(Box::new("until".into())),
            token => token,
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_is_a_key_of_a_map_and_ends_a_loop_still() {
        let mut engine = Engine::new();
        free(&mut engine);
        let script = "let m = #{ until: 3, a: [1, 2], /* and */ }; let n = #{ a: 1, // first\n until: 4 };
                      let x = 0; do { x += 1; } until x >= m.a[1]; [m[\"until\"], n[\"until\"], x]";
        let found = engine.eval::<rhai::Array>(script).unwrap();
        let found: Vec<i64> = found.into_iter().map(|value| value.as_int().unwrap()).collect();
        assert_eq!(found, [3, 4, 2]);
    }
}
