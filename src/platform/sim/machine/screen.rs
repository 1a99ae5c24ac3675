//! What a machine has printed.

use super::Moment;

/// Lines kept of each machine: about two boots.
const KEPT: usize = 40;

/// The last lines, in one piece of memory: there are many machines.
#[derive(Default)]
pub(super) struct Screen {
    /// Each ends with a newline.
    text: String,
    kept: usize,
    /// Lines that were printed, those included that are gone.
    pub(super) printed: u64,
}

impl Screen {
    pub(super) fn print(&mut self, at: Moment, text: &str) {
        if self.kept == KEPT {
            let first = self.text.find('\n').map_or(self.text.len(), |end| end + 1);
            self.text.drain(..first);
        } else {
            self.kept += 1;
        }
        self.printed += 1;
        let line = format!("[{:12.3}] {}\n", at.as_secs_f64(), text.replace('\n', " "));
        self.text.reserve_exact(line.len());
        self.text += &line;
    }

    /// The last lines, oldest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// The last ones that came after the first so many.
    pub(super) fn after(&self, heard: u64) -> impl Iterator<Item = &str> {
        let new = usize::try_from(self.printed.saturating_sub(heard)).unwrap_or(usize::MAX);
        self.lines().skip(self.kept.saturating_sub(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let mut screen = Screen::default();
        for number in 0..50 {
            screen.print(Moment::from_secs(number), &format!("line\n{number}"));
        }
        let lines: Vec<_> = screen.lines().collect();
        assert_eq!((screen.printed, lines.len()), (50, KEPT));
        assert_eq!([lines[0], lines[39]], ["[      10.000] line 10", "[      49.000] line 49"]);
        assert_eq!(screen.after(48).collect::<Vec<_>>(), lines[38..]);
        assert_eq!(screen.after(0).count(), KEPT);
        assert_eq!(screen.after(50).count(), 0);
    }
}
