//! Text made an expression.

use super::term::{FUNCTIONS, Operator, Term, Value, Wrong};
use winnow::{
    LocatingSlice, ModalResult, Parser,
    combinator::{alt, delimited, fail, opt, preceded, separated},
    stream::Location,
    token::{one_of, take_while},
};

/// Longest expression: a longer one is a mistake.
const LONGEST: usize = 500;

/// Deepest nesting.
const DEEPEST: usize = 32;

type Input<'t> = LocatingSlice<&'t str>;

/// The term that `text` is.
pub(super) fn term(text: &str) -> Result<Term, Wrong> {
    if text.is_empty() || text.len() > LONGEST {
        return Err((0, format!("an expression has 1 to {LONGEST} characters")));
    }
    words(text)?;
    sum.parse(LocatingSlice::new(text)).map_err(|error| {
        let at = error.offset();
        let why = if at >= text.len() {
            "something is missing here"
        } else {
            "this was not expected here"
        };
        (at, why.to_owned())
    })
}

/// Nothing but what a calculator knows: told better here than by what comes after.
fn words(text: &str) -> Result<(), Wrong> {
    let mut depth = 0_usize;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter.is_ascii_alphabetic() || letter == '_' {
            let more = |c: &(usize, char)| c.1.is_ascii_alphanumeric() || c.1 == '_';
            let mut end = at + 1;
            while letters.next_if(more).is_some() {
                end += 1;
            }
            let word = &text[at..end];
            if !["n", "Math"].contains(&word) && FUNCTIONS.iter().all(|one| one.name != word) {
                let known: Vec<_> = FUNCTIONS.iter().map(|one| one.name).collect();
                return Err((
                    at,
                    format!("'{word}' is unknown; known are n, {}", known.join(", ")),
                ));
            }
        } else if !" +-*/%().,".contains(letter) && !letter.is_ascii_digit() {
            return Err((at, format!("'{}' has no meaning here", letter.escape_debug())));
        }
        depth = match letter {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        if depth > DEEPEST {
            return Err((at, format!("more than {DEEPEST} parentheses inside one another")));
        }
    }
    Ok(())
}

fn blanks(input: &mut Input<'_>) -> ModalResult<()> {
    take_while(0.., ' ').void().parse_next(input)
}

/// An operator and where it stands.
fn operator(
    signs: &'static [(&'static str, Operator)],
) -> impl FnMut(&mut Input<'_>) -> ModalResult<(usize, Operator)> {
    move |input| {
        blanks(input)?;
        let at = input.current_token_start();
        for (sign, operator) in signs {
            // The sign of a power is not that of a product twice.
            let longer = *sign == "*" && input.as_ref().starts_with("**");
            if !longer && opt(*sign).parse_next(input)?.is_some() {
                return Ok((at, *operator));
            }
        }
        fail.parse_next(input)
    }
}

fn sum(input: &mut Input<'_>) -> ModalResult<Term> {
    const SIGNS: &[(&str, Operator)] = &[("+", Operator::Add), ("-", Operator::Subtract)];
    let mut term = product(input)?;
    while let Some((at, sign)) = opt(operator(SIGNS)).parse_next(input)? {
        term = Term::Two(at, sign, Box::new(term), Box::new(product(input)?));
    }
    blanks(input)?;
    Ok(term)
}

fn product(input: &mut Input<'_>) -> ModalResult<Term> {
    const SIGNS: &[(&str, Operator)] =
        &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)];
    let mut term = signed(input)?;
    while let Some((at, sign)) = opt(operator(SIGNS)).parse_next(input)? {
        term = Term::Two(at, sign, Box::new(term), Box::new(signed(input)?));
    }
    Ok(term)
}

fn signed(input: &mut Input<'_>) -> ModalResult<Term> {
    blanks(input)?;
    let at = input.current_token_start();
    match opt(one_of(['-', '+'])).parse_next(input)? {
        Some('-') => Ok(Term::Negative(at, Box::new(signed(input)?))),
        Some(_) => signed(input),
        None => power(input),
    }
}

fn power(input: &mut Input<'_>) -> ModalResult<Term> {
    const SIGNS: &[(&str, Operator)] = &[("**", Operator::Power)];
    let term = atom(input)?;
    match opt(operator(SIGNS)).parse_next(input)? {
        Some((at, sign)) => Ok(Term::Two(at, sign, Box::new(term), Box::new(signed(input)?))),
        None => Ok(term),
    }
}

fn atom(input: &mut Input<'_>) -> ModalResult<Term> {
    preceded(blanks, alt((number, inside, named))).parse_next(input)
}

fn inside(input: &mut Input<'_>) -> ModalResult<Term> {
    delimited('(', sum, ')').parse_next(input)
}

fn number(input: &mut Input<'_>) -> ModalResult<Term> {
    let digits = || take_while(1.., |c: char| c.is_ascii_digit());
    let text = (digits(), opt(('.', digits()))).take().parse_next(input)?;
    let value = match text.parse() {
        Ok(whole) => Value::Int(whole),
        Err(_) => Value::Float(text.parse().unwrap_or(f64::INFINITY)),
    };
    Ok(Term::Number(value))
}

fn named(input: &mut Input<'_>) -> ModalResult<Term> {
    let of_math = opt("Math.").parse_next(input)?.is_some();
    let at = input.current_token_start();
    let name = take_while(1.., |c: char| c.is_ascii_alphanumeric()).parse_next(input)?;
    if name == "n" && !of_math {
        return Ok(Term::Nodes);
    }
    let Some(function) = FUNCTIONS.iter().find(|one| one.name == name) else {
        return fail.parse_next(input);
    };
    let terms: Vec<Term> =
        delimited((blanks, '('), separated(1.., sum, ','), ')').parse_next(input)?;
    Ok(Term::Call(at, function, terms))
}
