//! What an expression is, and what it comes to.

/// Where something went wrong, as an offset in bytes, and why.
pub(super) type Wrong = (usize, String);

/// A number, whole or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Float(f64),
}

impl Value {
    pub(super) fn float(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "times of that size need not be exact")]
            Self::Int(whole) => whole as f64,
            Self::Float(float) => float,
        }
    }
}

/// A part of an expression; offsets are those of its operator or its name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Number(Value),
    Nodes,
    Negative(usize, Box<Term>),
    Two(usize, Operator, Box<Term>, Box<Term>),
    Call(usize, &'static Function, Vec<Term>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

/// A function of the calculator.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    body: Body,
}

#[derive(Debug)]
enum Body {
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
    /// Of one or two.
    Log,
    /// The one of several before which none comes.
    First(fn(f64, f64) -> bool),
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

const fn one(name: &'static str, body: fn(f64) -> f64) -> Function {
    Function { name, body: Body::One(body) }
}

/// Every function.
pub(super) static FUNCTIONS: [Function; 18] = [
    Function { name: "min", body: Body::First(|a, b| a < b) },
    Function { name: "max", body: Body::First(|a, b| a > b) },
    Function { name: "log", body: Body::Log },
    Function { name: "pow", body: Body::Two(f64::powf) },
    Function { name: "hypot", body: Body::Two(f64::hypot) },
    one("log2", f64::log2),
    one("log10", f64::log10),
    one("sqrt", f64::sqrt),
    one("cbrt", f64::cbrt),
    one("exp", f64::exp),
    one("sin", f64::sin),
    one("cos", f64::cos),
    one("tan", f64::tan),
    one("atan", f64::atan),
    one("floor", f64::floor),
    one("ceil", f64::ceil),
    one("round", f64::round),
    one("abs", f64::abs),
];

impl Term {
    /// What it comes to for `n` nodes.
    pub(super) fn value(&self, n: i64) -> Result<Value, Wrong> {
        match self {
            Self::Number(value) => Ok(*value),
            Self::Nodes => Ok(Value::Int(n)),
            Self::Negative(at, term) => match term.value(n)? {
                Value::Int(whole) => whole.checked_neg().map(Value::Int).ok_or_else(|| large(*at)),
                Value::Float(float) => Ok(Value::Float(-float)),
            },
            Self::Two(at, operator, left, right) => {
                two(*at, *operator, left.value(n)?, right.value(n)?)
            }
            Self::Call(at, function, terms) => {
                let values: Result<Vec<Value>, _> =
                    terms.iter().map(|term| term.value(n)).collect();
                call(*at, function, &values?)
            }
        }
    }
}

fn large(at: usize) -> Wrong {
    (at, "the result is too large".to_owned())
}

fn two(at: usize, operator: Operator, left: Value, right: Value) -> Result<Value, Wrong> {
    use Operator::{Add, Divide, Multiply, Power, Remainder, Subtract};
    let (Value::Int(a), Value::Int(b)) = (left, right) else {
        let (a, b) = (left.float(), right.float());
        return Ok(Value::Float(match operator {
            Add => a + b,
            Subtract => a - b,
            Multiply => a * b,
            Divide => a / b,
            Remainder => a.rem_euclid(b),
            Power => a.powf(b),
        }));
    };
    if matches!(operator, Divide | Remainder) && b == 0 {
        return Err((at, "division by zero".to_owned()));
    }
    let whole = match operator {
        Add => a.checked_add(b),
        Subtract => a.checked_sub(b),
        Multiply => a.checked_mul(b),
        // Towards less, as in the language of the old files.
        Divide => a.checked_div(b).map(|q| q - i64::from(a % b != 0 && (a < 0) != (b < 0))),
        Remainder => a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }),
        Power => match u32::try_from(b) {
            Ok(b) => a.checked_pow(b),
            Err(_) => return Ok(Value::Float(left.float().powf(right.float()))),
        },
    };
    whole.map(Value::Int).ok_or_else(|| large(at))
}

fn call(at: usize, function: &Function, values: &[Value]) -> Result<Value, Wrong> {
    let wrong = |takes: &str| Err((at, format!("{} takes {takes}", function.name)));
    match (&function.body, values) {
        (Body::One(body), [x]) => Ok(Value::Float(body(x.float()))),
        (Body::Two(body), [x, y]) => Ok(Value::Float(body(x.float(), y.float()))),
        (Body::Log, [x]) => Ok(Value::Float(x.float().ln())),
        (Body::Log, [x, base]) => Ok(Value::Float(x.float().log(base.float()))),
        (Body::First(before), [first, second, rest @ ..]) => {
            let pick = |a: Value, b: &Value| if before(b.float(), a.float()) { *b } else { a };
            Ok(rest.iter().fold(pick(*first, second), pick))
        }
        (Body::One(_), _) => wrong("one number"),
        (Body::Two(_), _) => wrong("two numbers"),
        (Body::Log, _) => wrong("one number, or two"),
        (Body::First(_), _) => wrong("two numbers or more"),
    }
}
