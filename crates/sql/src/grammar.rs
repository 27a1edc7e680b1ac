//! Parts of queries: expressions, what is selected, orders. Parsed before they are put into a
//! query, so that a mistake is told of the text that holds it, and that no text reaches beyond its
//! place.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, Ident, Query, SelectItem, SetExpr, Statement, Visit, VisitMut, Visitor,
    visit_expressions_mut, visit_relations,
};
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;
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

/// What to select: `lr, avg(gap) as gap`. A column without a name of its own is called as it is
/// written.
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
        match expression {
            Expr::Identifier(name) => name.quote_style = Some('"'),
            // The parser takes these words for calls. There are no users here, so columns are
            // meant.
            Expr::Function(call) if matches!(call.args, FunctionArguments::None) => {
                const USERS: [&str; 4] = ["user", "session_user", "current_user", "current_catalog"];
                let name = call.name.to_string();
                if USERS.contains(&name.to_lowercase().as_str()) {
                    *expression = Expr::Identifier(Ident::with_quote('"', name));
                }
            }
            _ => {}
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
    })?;
    match &mut statement {
        Statement::Query(query) => name_columns(&mut query.body),
        _ => return Err("expected a query: select … from t".to_owned()),
    }
    if tables(&statement) > super::MOST_STEPS {
        return Err(super::too_many_steps());
    }
    Ok(statement)
}

/// How many tables a query reads, where each use of a query in `with` reads its tables anew: the
/// engine plans them all, and each may be twice the one before.
fn tables(statement: &Statement) -> usize {
    /// The sizes of the queries that have names so far, and of the largest.
    #[derive(Default)]
    struct Sizes(HashMap<String, usize>, usize);
    impl Sizes {
        fn of(&mut self, part: &impl Visit) -> usize {
            let mut size = 0_usize;
            let _ = visit_relations(part, |name| {
                size = size.saturating_add(self.0.get(&name.to_string()).copied().unwrap_or(1));
                ControlFlow::<()>::Continue(())
            });
            self.1 = self.1.max(size);
            size
        }
    }
    impl Visitor for Sizes {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            for named in query.with.iter().flat_map(|with| &with.cte_tables) {
                let size = self.of(&named.query).saturating_add(1);
                let own = self.0.entry(named.alias.name.to_string()).or_default();
                *own = size.max(*own);
            }
            self.of(&query.body);
            ControlFlow::Continue(())
        }
    }
    let mut sizes = Sizes::default();
    let _ = statement.visit(&mut sizes);
    sizes.1
}

/// Parses all of a part of a query, and says in errors which.
fn part<T>(text: &str, parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>) -> Result<T, String> {
    whole(text, parse).map_err(|error| format!("`{text}`: {error}"))
}

/// Parses all of a text.
fn whole<T>(text: &str, parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>) -> Result<T, String> {
    let parsed = dialect::parser(text).and_then(|mut parser| {
        let found = parse(&mut parser)?;
        parser.expect_token(&Token::EOF)?;
        Ok(found)
    });
    parsed.map_err(|error| {
        let message = match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
            ParserError::RecursionLimitExceeded => return "too many brackets in each other".to_owned(),
        };
        let message = message.replace("EOF", "its end");
        match reserved(&message, text) {
            Some(word) => format!("{message}; a column called `{word}` goes in double quotes: \"{word}\""),
            None => message,
        }
    })
}

/// Words that hold a query together: nobody means a column by them.
const CLAUSES: [&str; 19] = [
    "and", "as", "between", "by", "case", "else", "from", "in", "is", "like", "not", "null", "on", "or",
    "select", "then", "when", "where", "with",
];

/// The word of SQL at the place where a text could not be read, or before it, if it may be meant as
/// a column.
fn reserved<'a>(message: &str, text: &'a str) -> Option<&'a str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let place = message.rsplit_once(" at Line: ").and_then(|(_, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        let (line, column) = (line.parse::<usize>().ok()?, column.parse::<usize>().ok()?);
        let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
        let within = text.get(before..)?.char_indices().nth(column.checked_sub(1)?)?.0;
        Some(before + within)
    });
    let (before, at) = text.split_at_checked(place.unwrap_or(text.len()))?;
    let next = &at[..at.find(|c| !is_part(c)).unwrap_or(at.len())];
    let before = before.trim_end();
    let last = before.rfind(|c| !is_part(c)).map_or(before, |end| {
        let end = end + before[end..].chars().next().map_or(0, char::len_utf8);
        &before[end..]
    });
    let is_keyword = |word: &&str| {
        ALL_KEYWORDS.contains(&word.to_ascii_uppercase().as_str())
            && !CLAUSES.contains(&word.to_ascii_lowercase().as_str())
    };
    [next, last].into_iter().find(is_keyword)
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

    /// Words that are values, or change the one after them.
    const VALUES: [&str; 9] = [
        "current_date",
        "current_time",
        "current_timestamp",
        "false",
        "localtime",
        "localtimestamp",
        "not",
        "null",
        "true",
    ];

    #[test]
    fn every_word_of_sql_is_a_column_or_says_how_it_becomes_one() {
        let mut wrong = Vec::new();
        // One of them is two words with a minus between.
        let words = ALL_KEYWORDS.iter().filter(|word| !word.contains('-')).map(|word| word.to_lowercase());
        for word in words.filter(|word| !VALUES.contains(&word.as_str()) && !CLAUSES.contains(&word.as_str()))
        {
            let quoted = format!("\"{word}\"");
            let mut check = |text: &str, parse: &dyn Fn(&str) -> Result<String, String>| {
                let text = text.replace('#', &word);
                match parse(&text) {
                    Ok(sql) if sql.contains(&quoted) => {}
                    Err(error) if error.contains(&quoted) => {}
                    other => wrong.push(format!("{text}: {other:?}")),
                }
            };
            for text in [
                "# + 1",
                "1 + #",
                "2 * # > 3",
                "#",
                "(#)",
                "- #",
                "abs(#)",
                "# is null",
                "x in (1, #)",
                "1 < #",
            ] {
                check(text, &expression);
            }
            for text in ["1, #", "#, 1", "# as x", "1 + # as y"] {
                let parse = |text: &str| {
                    let found = selection(text)?;
                    Ok(found.into_iter().map(|one| one.sql).collect::<Vec<_>>().join(","))
                };
                check(text, &parse);
            }
            for text in ["#", "# desc", "1, # desc"] {
                check(text, &|text| order(text).map(|keys| keys.join(",")));
            }
        }
        assert!(wrong.is_empty(), "{}: {}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn words_of_sql_may_follow_a_comma() {
        for word in ["order", "offset", "limit", "group", "window"] {
            let found = query(&format!("select 1, {word} from t where 0.5 < {word}"));
            assert!(found.is_ok(), "{word}: {found:?}");
        }
        let error = query("select lr from t where 1 < all").unwrap_err();
        assert!(error.contains("a column called `all` goes in double quotes: \"all\""), "{error}");
        let error = expression("lr >").unwrap_err();
        assert!(!error.contains("double quotes"), "{error}");
    }
}
