//! Parts of queries: expressions, what is selected, orders. Parsed before they are put into a query, so that a
//! mistake is told of the text that holds it, and that no text reaches beyond its place.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, SelectItem, SetExpr, Statement, VisitMut, visit_expressions_mut,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::dialect;

/// Something that a query selects.
pub struct Selected {
    /// As SQL, with its name.
    pub sql: String,
    /// The column's name; none for `*`.
    pub name: Option<String>,
}

/// One expression: `lr > 0.1 and batch = 32`.
pub fn expression(text: &str) -> Result<String, String> {
    let mut expression = part(text, |parser| parser.parse_expr())?;
    quote_names(&mut expression);
    Ok(expression.to_string())
}

/// What to select: `lr, avg(gap) as gap`. A column without a name of its own is called as it is written.
pub fn selection(text: &str) -> Result<Vec<Selected>, String> {
    let items = part(text, |parser| parser.parse_comma_separated(Parser::parse_select_item))?;
    Ok(items
        .into_iter()
        .map(|mut item| {
            let name = name(&mut item);
            quote_names(&mut item);
            Selected { sql: item.to_string(), name }
        })
        .collect())
}

/// What to sort by: `batch, lr desc`.
pub fn order(text: &str) -> Result<Vec<String>, String> {
    let mut keys = part(text, |parser| parser.parse_comma_separated(Parser::parse_order_by_expr))?;
    keys.iter_mut().for_each(quote_names);
    Ok(keys.iter().map(ToString::to_string).collect())
}

/// Puts names in quotes, without which a column called `order` could not be part of a query.
fn quote_names(part: &mut impl VisitMut) {
    let _ = visit_expressions_mut(part, |expression| {
        if let Expr::Identifier(name) = expression {
            name.quote_style = Some('"');
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Names the columns that a query selects.
fn name_columns(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => select.projection.iter_mut().for_each(|item| {
            name(item);
        }),
        SetExpr::Query(query) => name_columns(&mut query.body),
        // The names are those of the first part.
        SetExpr::SetOperation { left, .. } => name_columns(left),
        _ => {}
    }
}

/// The name of what is selected, which it gets if it has none.
fn name(item: &mut SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(column)) => Some(column.value.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            parts.last().map(|column| column.value.clone())
        }
        SelectItem::UnnamedExpr(expr) => {
            let text = expr.to_string();
            let alias = Ident::with_quote('"', &text);
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            Some(text)
        }
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        _ => None,
    }
}

/// A query, whose columns have names.
pub(crate) fn query(text: &str) -> Result<Statement, String> {
    let mut statement = whole(text, |parser| {
        let statement = parser.parse_statement()?;
        while parser.consume_token(&Token::SemiColon) {}
        Ok(statement)
    })
    .map_err(message)?;
    match &mut statement {
        Statement::Query(query) => name_columns(&mut query.body),
        _ => return Err("expected a query: select … from t".to_owned()),
    }
    Ok(statement)
}

/// Parses all of a part of a query, and says in errors which.
fn part<T>(text: &str, parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>) -> Result<T, String> {
    whole(text, parse).map_err(|error| format!("`{text}`: {}", message(error)))
}

/// Parses all of a text.
fn whole<T>(
    text: &str,
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T, ParserError> {
    let mut parser = dialect::parser(text)?;
    let found = parse(&mut parser)?;
    parser.expect_token(&Token::EOF)?;
    Ok(found)
}

fn message(error: ParserError) -> String {
    match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            message.replace("EOF", "its end")
        }
        ParserError::RecursionLimitExceeded => "too many brackets in each other".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_called_by_its_name_or_as_it_is_written() {
        let names = |text: &str| -> Vec<Option<String>> {
            selection(text).unwrap_or_default().into_iter().map(|item| item.name).collect()
        };
        assert_eq!(
            names("lr, t.batch, \"a b\""),
            [Some("lr"), Some("batch"), Some("a b")].map(|n| n.map(str::to_owned))
        );
        assert_eq!(
            names("avg(gap), gap*2 AS x, *"),
            [Some("avg(gap)".to_owned()), Some("x".to_owned()), None]
        );
    }

    #[test]
    fn a_text_stays_in_its_place() {
        for text in ["a) from t --", "a = 1;", "a = 1 limit 1", "", "a ="] {
            assert!(expression(text).is_err(), "{text}");
        }
        assert_eq!(expression("a = 1 -- why").as_deref(), Ok("\"a\" = 1"));
        assert_eq!(order("order desc, b"), Ok(vec!["\"order\" DESC".to_owned(), "\"b\"".to_owned()]));
    }
}
