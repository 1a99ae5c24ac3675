//! A dump, statement by statement.

use std::io::{self, BufRead, Read};

/// Bound of a statement, bytes: no server takes a longer one.
const LIMIT: usize = 1 << 30;

/// Statements of a dump without comments, one after the other: only one is in memory.
pub(super) struct Statements<R> {
    reader: R,
    line: Vec<u8>,
    at: usize,
    /// Which line it is, for messages.
    number: u64,
}

/// Where a letter stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    /// Between quotes of this kind.
    Quoted(u8),
    /// In `/* … */`.
    Comment,
}

impl<R: BufRead> Statements<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), at: 0, number: 0 }
    }

    /// The number of the line that was read last.
    pub(super) fn line(&self) -> u64 {
        self.number
    }

    /// The next statement without its semicolon; none at the end. What stands behind the last
    /// semicolon is a statement as well: it was cut off.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let (mut statement, mut place) = (Vec::new(), Place::Plain);
        loop {
            if self.at >= self.line.len() && !self.fill()? {
                let rest = !statement.trim_ascii().is_empty() || place != Place::Plain;
                return Ok(rest.then_some(statement));
            }
            if self.step(&mut statement, &mut place) {
                return Ok(Some(statement));
            }
            if statement.len() > LIMIT {
                return Err(io::Error::other("a statement has no end: is it a dump?"));
            }
        }
    }

    fn fill(&mut self) -> io::Result<bool> {
        (self.at, self.number) = (0, self.number + 1);
        self.line.clear();
        let mut some = (&mut self.reader).take(LIMIT as u64);
        Ok(some.read_until(b'\n', &mut self.line)? > 0)
    }

    /// Takes what is alike up to the next letter that means something; true at the end of the
    /// statement.
    fn step(&mut self, statement: &mut Vec<u8>, place: &mut Place) -> bool {
        let rest = &self.line[self.at..];
        let (letter, second) = (rest[0], rest.get(1).copied());
        let mut taken = 1;
        match *place {
            Place::Comment => {
                if rest.starts_with(b"*/") {
                    (*place, taken) = (Place::Plain, 2);
                }
                self.at += taken;
                return false;
            }
            Place::Quoted(quote) => {
                // Names have no escapes. A doubled quote closes and opens again: nothing is lost.
                if letter == b'\\' && quote != b'`' {
                    taken = 2.min(rest.len());
                } else if letter == quote {
                    *place = Place::Plain;
                } else {
                    let end = rest.iter().position(|byte| *byte == quote || *byte == b'\\');
                    taken = end.unwrap_or(rest.len()).max(1);
                }
            }
            Place::Plain => match (letter, second) {
                (b';', _) => {
                    self.at += 1;
                    return true;
                }
                (b'\'' | b'"' | b'`', _) => *place = Place::Quoted(letter),
                (b'/', Some(b'*')) => {
                    (*place, self.at) = (Place::Comment, self.at + 2);
                    return false;
                }
                (b'#', _) | (b'-', Some(b'-')) => {
                    self.at = self.line.len();
                    return false;
                }
                _ => {}
            },
        }
        statement.extend_from_slice(&rest[..taken]);
        self.at += taken;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let mut statements = Statements::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(one) = statements.next().unwrap() {
            all.push(String::from_utf8(one).unwrap().trim().to_owned());
        }
        all
    }

    #[test]
    fn semicolons_count_outside_of_texts_names_and_comments() {
        let text = "-- a; comment\n/*!40101 SET NAMES utf8 */;\nINSERT INTO `a;b` VALUES ('x;\\';y','it''s;',\n'z');\n# b;\nDROP TABLE x;";
        let wanted = ["", "INSERT INTO `a;b` VALUES ('x;\\';y','it''s;',\n'z')", "DROP TABLE x"];
        assert_eq!(of(text), wanted);
    }

    #[test]
    fn what_is_cut_off_is_seen() {
        assert_eq!(
            of("SELECT 1;\nINSERT INTO a VALUES ('x"),
            ["SELECT 1", "INSERT INTO a VALUES ('x"]
        );
        assert_eq!(of("SELECT 1;\n\n-- end\n"), ["SELECT 1"]);
        assert_eq!(of(""), [""; 0]);
    }
}
