//! The plain types of values: numbers, texts, durations.

use crate::expression::{BadExpression, Expression};
use crate::key::Shape;
use crate::read::{Reader, Value};
use crate::tree::{Data, Located};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

/// A century: longer times are slips of the pen, and shorter ones cannot overflow a clock.
pub(crate) const LONGEST: i128 = 100 * 365 * 86_400;

/// A password. It is not shown by `Debug`, nor by any message.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Value for Secret {
    fn shape() -> Shape {
        Shape::leaf("String")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        if let Data::Text(text) = &at.data {
            return Some(Self(text.clone()));
        }
        cx.mistake(at, "something else (not shown)", "String; write it in quotes");
        None
    }
}

/// A number of minutes; the sign does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minutes(pub Duration);

impl Value for Minutes {
    fn shape() -> Shape {
        Shape::leaf("Integer, minutes")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let minutes = cx.integer(at, -LONGEST / 60, LONGEST / 60)?;
        let minutes = u64::try_from(minutes.unsigned_abs()).ok()?;
        Some(Self(Duration::from_secs(minutes * 60)))
    }
}

/// A size, written as a number of MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mebibytes(pub u32);

impl Mebibytes {
    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0) << 20
    }
}

impl Value for Mebibytes {
    fn shape() -> Shape {
        Shape::leaf("Integer, MiB")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        u32::read(at, cx).map(Self)
    }
}

/// A time limit: a constant, or an expression of the number of nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum Timeout {
    /// Seconds, or a text that is a number.
    Constant(Duration),
    /// Of `n`, the number of nodes concerned.
    Expression(Expression),
}

impl Timeout {
    /// The limit for `n` nodes.
    ///
    /// # Errors
    /// The expression gives none for so many.
    pub fn of(&self, n: usize) -> Result<Duration, BadExpression> {
        match self {
            Self::Constant(limit) => Ok(*limit),
            Self::Expression(expression) => expression.seconds(n),
        }
    }

    /// Understands a text: a number of seconds, or an expression.
    pub fn parse(text: &str) -> Result<Self, BadExpression> {
        match text.trim().parse::<u32>() {
            Ok(seconds) => Ok(Self::Constant(Duration::from_secs(seconds.into()))),
            Err(_) => Expression::parse(text).map(Self::Expression),
        }
    }
}

impl Value for Timeout {
    fn shape() -> Shape {
        Shape::leaf("Integer, seconds, or an expression of `n`")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let expected = "seconds (a whole number) or an arithmetic expression of `n`";
        match &at.data {
            Data::Int(_) => Duration::read(at, cx).map(Self::Constant),
            Data::Text(text) => match Self::parse(text) {
                Ok(timeout) => Some(timeout),
                Err(bad) => {
                    cx.mistake(at, bad.to_string(), expected);
                    None
                }
            },
            _ => {
                cx.wrong(at, expected);
                None
            }
        }
    }
}

impl Value for Duration {
    fn shape() -> Shape {
        Shape::leaf("Integer, seconds")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let seconds = cx.integer(at, 0, LONGEST)?;
        u64::try_from(seconds).ok().map(Self::from_secs)
    }
}

impl Value for String {
    fn shape() -> Shape {
        Shape::leaf("String")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        cx.text(at).map(str::to_owned)
    }
}

impl Value for PathBuf {
    fn shape() -> Shape {
        Shape::leaf("String, path")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        cx.text(at).map(Self::from)
    }
}

impl Value for bool {
    fn shape() -> Shape {
        Shape::leaf("Boolean")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        if let Data::Bool(value) = at.data {
            return Some(value);
        }
        cx.mistyped(at, "Boolean", "`true` or `false`");
        None
    }
}

macro_rules! integers {
    ($($ty:ty),*) => { $(
        impl Value for $ty {
            fn shape() -> Shape {
                Shape::leaf("Integer")
            }

            fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
                let value = cx.integer(at, <$ty>::MIN.into(), <$ty>::MAX.into())?;
                <$ty>::try_from(value).ok()
            }
        }
    )* };
}
integers!(u8, u16, u32, u64, i64);

macro_rules! parsed {
    ($($ty:ty: $kind:literal),*) => { $(
        impl Value for $ty {
            fn shape() -> Shape {
                Shape::leaf($kind)
            }

            fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
                let value = match &at.data {
                    Data::Text(text) => <$ty>::from_str(text).ok(),
                    _ => None,
                };
                if value.is_none() {
                    cx.wrong(at, $kind);
                }
                value
            }
        }
    )* };
}
parsed!(
    Ipv4Addr: "IPv4 address",
    IpAddr: "IP address",
    SocketAddr: "address and port, such as `10.0.0.1:69`"
);

/// Whether a text is a path, as far as its form tells.
pub(crate) fn is_absolute(text: &str) -> bool {
    text.starts_with('/') && !text.contains('\0')
}
