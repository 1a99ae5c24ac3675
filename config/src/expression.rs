//! Arithmetic of a site's own: time limits that depend on the number of nodes.
//!
//! The language is a calculator's: numbers, `n`, `+ - * / % **`, parentheses and functions, with
//! or without `Math.` before them. Two whole numbers divide to a whole number. There is nothing
//! else: no statement, no name but those of the calculator, nothing of the machine to reach.

mod parse;
mod term;

use std::{fmt, time::Duration};
use term::Term;

/// An arithmetic expression of `n` that gives a number of seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: String,
    term: Term,
}

/// An expression that gives no time: which, where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadExpression {
    /// As it was written.
    pub text: String,
    /// The character at which it goes wrong, from 1, where one can be named.
    pub column: Option<usize>,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for BadExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, column, why } = self;
        write!(f, "'{}'", text.escape_debug())?;
        if let Some(column) = column {
            write!(f, ", character {column}")?;
        }
        write!(f, ": {why}")
    }
}

impl std::error::Error for BadExpression {}

impl Expression {
    /// Understands `text`; it must give a time for one node.
    pub fn parse(text: &str) -> Result<Self, BadExpression> {
        let text = text.trim().to_owned();
        let bad = |(at, why): (usize, String)| BadExpression {
            text: text.clone(),
            column: Some(column(&text, at)),
            why,
        };
        let term = parse::term(&text).map_err(bad)?;
        let expression = Self { text, term };
        expression.seconds(1)?;
        Ok(expression)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time for `n` nodes, whole seconds.
    pub fn seconds(&self, n: usize) -> Result<Duration, BadExpression> {
        let bad = |column, why| BadExpression { text: self.text.clone(), column, why };
        let value = self.term.value(i64::try_from(n).unwrap_or(i64::MAX));
        let seconds = value.map_err(|(at, why)| bad(Some(column(&self.text, at)), why))?.float();
        #[expect(clippy::cast_precision_loss, reason = "a bound of that size need not be exact")]
        let longest = crate::model::values::LONGEST as f64;
        if !(0.0..=longest).contains(&seconds) {
            return Err(bad(None, format!("it is no time for n = {n}: {seconds} seconds")));
        }
        Ok(Duration::from_secs(Duration::from_secs_f64(seconds).as_secs()))
    }
}

/// The character that begins at that byte, from 1.
fn column(text: &str, at: usize) -> usize {
    text.char_indices().take_while(|(start, _)| *start < at).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(text: &str, n: usize) -> Result<u64, String> {
        let expression = Expression::parse(text).map_err(|bad| bad.to_string())?;
        expression.seconds(n).map(|time| time.as_secs()).map_err(|bad| bad.to_string())
    }

    #[test]
    fn it_calculates() {
        let cases = [
            ("120", 5, 120),
            ("100+5*n", 4, 120),
            ("(100 + n) * 2", 10, 220),
            ("n/2*2", 5, 4),
            ("n/2.0*2", 5, 5),
            ("min(n, max(2, 3)) * 10", 9, 30),
            ("max(60, 2*n)", 100, 200),
            ("100*Math.log(n)+ 1", 20, 300),
            ("60 + Math.sqrt(n)", 16, 64),
            ("Math.log10(n) * 10", 1000, 30),
            ("log(8, 2) * 10", 1, 30),
            ("-5 + n * 6", 1, 1),
            ("n % 7 + 2 ** 3", 9, 10),
            ("1.9", 1, 1),
            ("Math.max(n, 3)", 2, 3),
        ];
        for (text, n, expected) in cases {
            assert_eq!(seconds(text, n), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_calculated_is_named_with_its_place() {
        let cases = [
            ("", "an expression has"),
            ("120 + m", "'120 + m', character 7: 'm' is unknown"),
            ("system('reboot')", "character 1: 'system' is unknown"),
            ("n; n", "character 2: ';' has no meaning here"),
            ("while n { }", "'while' is unknown"),
            ("1e400", "character 2: 'e400' is unknown"),
            ("(n + 1", "'(n + 1', character "),
            ("n +", "'n +', character "),
            ("1 / 0", "'1 / 0', character 3: "),
            ("10 - 20", "it is no time for n = 1: -10 seconds"),
            ("log(0 * n)", "it is no time for n = 1: -inf seconds"),
            ("100 ** 100", "'100 ** 100', character 5: "),
            ("min(n)", "'min(n)', character 1: "),
            ("n n", "'n n', character 3"),
        ];
        for (text, expected) in cases {
            let why = seconds(text, 1).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
        let deep = format!("{}n{}", "(".repeat(200), ")".repeat(200));
        assert!(seconds(&deep, 1).is_err());
        // Well for one node, and not for two.
        let why = seconds("10 / (n - 2) + 20", 2).unwrap_err();
        assert!(why.contains("character 4"), "{why}");
    }

    proptest! {
        #[test]
        fn no_text_does_anything_but_give_a_time_or_a_reason(
            text in "[-+*/%(),. 0-9nMathminlogsqrt]{0,40}|\\PC{0,20}", n in 0_usize..100_000
        ) {
            if let Ok(expression) = Expression::parse(&text) {
                expression.seconds(n).ok();
            }
        }
    }
}
