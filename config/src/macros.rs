//! The two declarations of the model: a section of keys, and a choice of words.

/// Declares a struct, one key per field: `name: Type => spec` where the words of
/// the key are the field's documentation, `spec` is made by [`crate::key`]'s
/// `mandatory()`, `optional()` or `default("yaml")`, and a key that is no Rust
/// name is given as `field ("key"): ...`. `check = f` names a rule across keys.
macro_rules! section {
    (
        $(#[doc = $words:literal])+
        $vis:vis struct $name:ident $((check = $rule:path))? {
            $( $(#[doc = $doc:literal])+ $field:ident $(($key:literal))? : $ty:ty => $spec:expr ),* $(,)?
        }
    ) => {
        $(#[doc = $words])+
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name { $( $(#[doc = $doc])+ $vis $field: $ty ),* }

        impl $name {
            pub(crate) const KEYS: &'static [$crate::key::Key] = &[$($crate::key::Key {
                name: $crate::macros::key_name!($field $($key)?),
                doc: concat!($($doc, "\n"),+),
                spec: $spec,
                shape: <$ty as $crate::read::Value>::shape,
            }),*];
        }

        impl $crate::read::Value for $name {
            fn shape() -> $crate::key::Shape {
                $crate::key::Shape::Section(Self::KEYS)
            }

            fn read(at: &$crate::tree::Located, cx: &mut $crate::read::Reader<'_>) -> Option<Self> {
                let map = cx.section(at, Self::KEYS)?;
                $( let $field = cx.field::<$ty>(
                    map, Self::KEYS, $crate::macros::key_name!($field $($key)?)); )*
                let section = Self { $($field: $field?),* };
                $( $rule(&section, at, cx); )?
                Some(section)
            }

            fn fixed(&self, then: &Self, path: &str, all: bool, changed: &mut Vec<String>) {
                let keys = Self::KEYS.iter();
                $( $crate::key::fixed(
                    keys.clone(), $crate::macros::key_name!($field $($key)?),
                    (&self.$field, &then.$field), (path, all), changed); )*
            }
        }
    };
}

macro_rules! key_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

/// Declares an enum whose variants are words of the files.
macro_rules! choice {
    (
        $(#[doc = $words:literal])+
        $vis:vis enum $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal ),* $(,)? }
    ) => {
        $(#[doc = $words])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $( $(#[doc = $doc])+ $variant ),* }

        impl $name {
            /// The words, in the order of the variants.
            $vis const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word of the files for it.
            $vis fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The variant for a word of the files.
            $vis fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl $crate::read::Value for $name {
            fn shape() -> $crate::key::Shape {
                $crate::key::Shape::Leaf($crate::read::one_of(Self::WORDS).into())
            }

            fn read(at: &$crate::tree::Located, cx: &mut $crate::read::Reader<'_>) -> Option<Self> {
                cx.word(at, Self::WORDS).and_then(Self::from_word)
            }
        }
    };
}

pub(crate) use {choice, key_name, section};
