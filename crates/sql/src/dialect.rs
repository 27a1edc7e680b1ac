//! SQL as kelvin writes it: the parser's generic dialect with the operators that people bring along
//! from Python and Rhai, and with bounds on what is parsed.

use std::any::TypeId;

use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

/// The generic dialect, as far as queries go, where `^` binds tighter than `*`: there it is a
/// power. No comma may follow the last of a list: in `select lr, order from t`, `order` is a
/// column.
#[derive(Debug)]
struct Kelvin;

/// Between those of `*` and of `::`.
const POWER: u8 = 45;

/// What the generic dialect can do that others cannot.
macro_rules! generic {
    ($($can:ident),* $(,)?) => {
        $(fn $can(&self) -> bool {
            GenericDialect.$can()
        })*
    };
}

impl Dialect for Kelvin {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_identifier_start(&self, c: char) -> bool {
        GenericDialect.is_identifier_start(c)
    }

    fn is_identifier_part(&self, c: char) -> bool {
        GenericDialect.is_identifier_part(c)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        (parser.peek_token_ref().token == Token::Caret).then_some(Ok(POWER))
    }

    generic! {
        allow_extract_custom,
        allow_extract_single_quotes,
        support_map_literal_syntax,
        supports_array_typedef_with_brackets,
        supports_bitwise_shift_operators,
        supports_comma_separated_trim,
        supports_cte_without_as,
        supports_data_type_signed_suffix,
        supports_dictionary_syntax,
        supports_empty_projections,
        supports_extract_comma_syntax,
        supports_filter_during_aggregation,
        supports_from_first_select,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_interval_options,
        supports_left_associative_joins_without_parens,
        supports_limit_by,
        supports_limit_comma,
        supports_named_fn_args_with_assignment_operator,
        supports_nested_comments,
        supports_parens_around_table_factor,
        supports_partition_by_after_order_by,
        supports_pipe_operator,
        supports_select_wildcard_except,
        supports_select_wildcard_exclude,
        supports_select_wildcard_ilike,
        supports_select_wildcard_rename,
        supports_select_wildcard_replace,
        supports_string_escape_constant,
        supports_struct_literal,
        supports_try_convert,
        supports_unicode_string_literal,
        supports_values_as_table_factor,
        supports_window_clause_named_window_reference,
        supports_window_function_null_treatment_arg,
    }
}

/// Bytes of a text, at most. A query names all columns of a table.
const LONGEST: usize = 4 << 20;

/// Operators, names and brackets around a part of a text, at most. The engine looks at the parts of
/// an expression recursively, and at each as often as it is deep.
const DEEPEST: usize = 2000;

/// Queries that `union` and the like put together, at most.
const MOST_TOGETHER: usize = 200;

/// A parser of a text.
pub(crate) fn parser(text: &str) -> Result<Parser<'static>, ParserError> {
    let refused = |message: String| Err(ParserError::ParserError(message));
    if text.len() > LONGEST {
        return refused(format!("expected at most {LONGEST} bytes, found {}", text.len()));
    }
    let mut tokens = Tokenizer::new(&Kelvin, text).tokenize_with_location()?;
    let mut at = 0;
    while let Some(this) = tokens.get(at) {
        match this.token {
            // `&&` would be an operator on lists that binds tighter than `=`.
            Token::Overlap => tokens[at].token = Token::make_keyword("AND"),
            Token::Mul if tokens.get(at + 1).is_some_and(|next| next.token == Token::Mul) => {
                tokens[at].token = Token::Caret;
                tokens[at + 1].token = Token::Whitespace(Whitespace::Space);
            }
            Token::ExclamationMark => {
                return refused("expected `not` in the place of `!`".to_owned());
            }
            _ => {}
        }
        at += 1;
    }
    let together = tokens.iter().filter(|token| is_keyword(&token.token, &PUTS_TOGETHER)).count();
    if together > MOST_TOGETHER {
        return refused(format!(
            "expected at most {MOST_TOGETHER} times union, except or intersect, found {together}"
        ));
    }
    let deep = depth(tokens.iter().map(|token| &token.token));
    if deep > DEEPEST {
        return refused(format!(
            "an expression with {deep} operators, names and brackets in one, expected at most {DEEPEST}; many values of \
             one column are written `x in (1, 2, …)`"
        ));
    }
    quote_columns(&mut tokens);
    Ok(Parser::new(&Kelvin).with_tokens_with_locations(tokens))
}

const PUTS_TOGETHER: [Keyword; 4] = [Keyword::UNION, Keyword::EXCEPT, Keyword::INTERSECT, Keyword::MINUS];

fn is_keyword(token: &Token, of: &[Keyword]) -> bool {
    matches!(token, Token::Word(word) if of.contains(&word.keyword))
}

/// An upper bound of the depth of what is parsed from tokens: whatever stands between two commas
/// may be a chain in which each part is in the next one, with what is in brackets at its innermost
/// place.
fn depth<'a>(tokens: impl Iterator<Item = &'a Token>) -> usize {
    /// What is between two brackets.
    #[derive(Default)]
    struct Level {
        /// Of the part since the last comma: its tokens, and the depth of what is in brackets
        /// there.
        own: usize,
        inner: usize,
        /// The depth of the parts before.
        deepest: usize,
    }
    impl Level {
        fn end_part(&mut self) {
            self.deepest = self.deepest.max(self.own + self.inner);
            (self.own, self.inner) = (0, 0);
        }
    }
    /// A function in a function takes the engine as long as many operators.
    const OF_A_POWER: usize = 20;
    let mut levels = vec![Level::default()];
    let close = |levels: &mut Vec<Level>| {
        if let Some(mut level) = levels.pop() {
            level.end_part();
            match levels.last_mut() {
                Some(outer) => outer.inner = outer.inner.max(level.deepest),
                // One bracket too many.
                None => levels.push(level),
            }
        }
    };
    for token in tokens {
        let level = levels.len() - 1;
        match token {
            Token::Whitespace(_) => {}
            Token::Comma => levels[level].end_part(),
            Token::LParen | Token::LBracket | Token::LBrace => {
                levels[level].own += 1;
                levels.push(Level::default());
            }
            Token::RParen | Token::RBracket | Token::RBrace => close(&mut levels),
            Token::Caret => levels[level].own += OF_A_POWER,
            token if is_keyword(token, &[Keyword::CASE]) => {
                levels[level].own += 1;
                levels.push(Level::default());
            }
            token if is_keyword(token, &[Keyword::WHEN]) => levels[level].end_part(),
            // How many queries stand side by side is counted apart.
            token if is_keyword(token, &PUTS_TOGETHER) => levels[level].end_part(),
            token if is_keyword(token, &[Keyword::END]) => close(&mut levels),
            _ => levels[level].own += 1,
        }
    }
    while levels.len() > 1 {
        close(&mut levels);
    }
    levels[0].end_part();
    levels[0].deepest
}

/// Puts words in quotes that begin a value of their own in SQL (`interval '1 day'`), where they do
/// not: there they are columns.
fn quote_columns(tokens: &mut [TokenWithSpan]) {
    let is_space = |token: &Token| matches!(token, Token::Whitespace(_));
    for at in 0..tokens.len() {
        let begins: fn(&Token) -> bool = match &tokens[at].token {
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::INTERVAL => |next| matches!(next, Token::Number(..) | Token::SingleQuotedString(_)),
                Keyword::STRUCT | Keyword::TRIM | Keyword::EXISTS => |_| false,
                Keyword::ARRAY => |next| matches!(next, Token::LBracket),
                Keyword::MAP => |next| matches!(next, Token::LBrace | Token::LBracket),
                _ => continue,
            },
            _ => continue,
        };
        let around = |mut near: Box<dyn Iterator<Item = &TokenWithSpan> + '_>| {
            near.find(|token| !is_space(&token.token)).map(|token| token.token.clone())
        };
        let before = around(Box::new(tokens[..at].iter().rev()));
        let next = around(Box::new(tokens[at + 1..].iter()));
        // `cast(x as interval)`
        let is_type =
            before.is_some_and(|before| before == Token::DoubleColon || is_keyword(&before, &[Keyword::AS]));
        if is_type || next.is_some_and(|next| next == Token::LParen || begins(&next)) {
            continue;
        }
        if let Token::Word(word) = &mut tokens[at].token {
            word.quote_style = Some('"');
            word.keyword = Keyword::NoKeyword;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use crate::{Failure, expression, query};

    fn chain(term: &str, op: &str, terms: usize) -> String {
        vec![term; terms].join(op)
    }

    #[test]
    fn many_queries_in_one_are_refused() {
        for sql in [
            chain("select 1", " union all ", 3000),
            chain("select 1", " except ", 3000),
            chain("(select 1", " union ", 40) + &")".repeat(40) + &" union select 2".repeat(500),
            // Each is twice the one before.
            (1..30).fold("with c0 as (select 1 as x)".to_owned(), |sql, n| {
                format!("{sql}, c{n} as (select a.x from c{0} a, c{0} b)", n - 1)
            }) + " select count(*) from c29",
        ] {
            match query(Vec::new(), &sql, 1 << 30, &|| false) {
                Err(Failure::Message(error)) => {
                    assert!(error.contains("at most") || error.contains("more than"), "{error}")
                }
                other => panic!("{other:?}"),
            }
        }
        let one = "select x from (select 3 as x) t where x > 1 and x < 5 and not x = 4";
        let (_, found) = query(Vec::new(), &chain(one, " union all ", 150), 1 << 30, &|| false).unwrap();
        assert_eq!(found.iter().map(|batch| batch.num_rows()).sum::<usize>(), 150);
    }

    #[test]
    fn words_of_sql_are_columns_where_they_begin_no_value() {
        for (text, wanted) in [
            ("interval + 1", "\"interval\" + 1"),
            ("interval > 3 and struct = 1", "\"interval\" > 3 AND \"struct\" = 1"),
            ("2 * interval", "2 * \"interval\""),
            ("date - 1", "\"date\" - 1"),
            ("time is null or timestamp < 3", "\"time\" IS NULL OR \"timestamp\" < 3"),
            ("not interval > 3", "NOT \"interval\" > 3"),
            ("array * map", "\"array\" * \"map\""),
            ("-interval", "-\"interval\""),
            ("interval in (1, 2)", "\"interval\" IN (1, 2)"),
            ("interval '1 day'", "INTERVAL '1 day'"),
            ("date '2024-01-01' + interval '1 day'", "DATE '2024-01-01' + INTERVAL '1 day'"),
            ("cast(x as interval)", "CAST(\"x\" AS INTERVAL)"),
            ("exists + trim", "\"exists\" + \"trim\""),
        ] {
            assert_eq!(expression(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    /// One at a time; see `tests/it/main.rs`.
    mod alone {
        use super::*;

        #[test]
        fn long_chains_are_computed_soon_or_refused() {
            // A second and less on a free machine.
            let soon = Duration::from_secs(20);
            for (term, op, terms) in [
                ("1", "+", 900),
                ("1.5", "*", 900),
                ("x", " - ", 900),
                ("x = 1", " or ", 480),
                ("x", "^", 60),
                ("'a'", "||", 900),
                ("(1", "+", 20),
            ] {
                let text =
                    chain(term, op, terms) + &")".repeat(if term.starts_with('(') { terms } else { 0 });
                for x in ["cast(1 as double) as x", "1 as x"] {
                    let began = Instant::now();
                    let sql = format!("select {text} as y from (select {x})");
                    query(Vec::new(), &sql, 1 << 30, &|| false)
                        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
                    assert!(began.elapsed() < soon, "{terms} times {term} {op}: {:?}", began.elapsed());
                }
            }
            for text in [
                chain("1", "+", 5000),
                chain("not x", " and ", 100_000),
                chain("x is null", " = ", 3000),
                chain("(x", "+1)+1", 1500) + ")",
                "(".repeat(1_000_000),
                chain("case when x then y", " + ", 3000),
                chain("x", "^", 200),
                format!("case when 1 then {} end", chain("1", "+", 5000)),
            ] {
                let error = expression(&text).unwrap_err();
                assert!(
                    error.contains("expected at most") || error.contains("brackets"),
                    "{}",
                    &error[error.len() - 99..]
                );
            }
            // Values side by side are no chain.
            let values = chain("1", ",", 50_000);
            assert!(expression(&format!("x in ({values})")).is_ok());
            assert!(expression(&format!("case {} end", chain("when x then y", " ", 2000))).is_ok());
        }
    }
}
