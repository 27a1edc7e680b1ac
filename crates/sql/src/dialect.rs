//! SQL as kelvin writes it: the parser's generic dialect with the operators that people bring along from Python and Rhai.

use std::any::TypeId;

use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The generic dialect, as far as queries go, where `^` binds tighter than `*`: there it is a power.
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
        supports_projection_trailing_commas,
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

/// A parser of a text.
pub(crate) fn parser(text: &str) -> Result<Parser<'static>, ParserError> {
    let mut tokens = Tokenizer::new(&Kelvin, text).tokenize_with_location()?;
    let mut at = 0;
    while let Some(this) = tokens.get(at) {
        match this.token {
            // `&&` would be an operator on lists that binds tighter than `=`.
            Token::Overlap => tokens[at].token = Token::make_keyword("AND"),
            Token::Mul if tokens.get(at + 1).is_some_and(|next| next.token == Token::Mul) => {
                tokens[at].token = Token::Caret;
                tokens.remove(at + 1);
            }
            Token::ExclamationMark => {
                return Err(ParserError::ParserError("expected `not` in the place of `!`".to_owned()));
            }
            _ => {}
        }
        at += 1;
    }
    Ok(Parser::new(&Kelvin).with_tokens_with_locations(tokens))
}
