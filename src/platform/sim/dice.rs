//! Chance that can be repeated.

use std::time::Duration;

/// A stream of numbers that follow from its seed (`SplitMix64`: Steele, Lea, Flood, "Fast
/// splittable pseudorandom number generators", 2014).
///
/// Our own, because a seed that once found a mistake must find it for ever: packages keep
/// the right to change their streams.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Dice(u64);

impl Dice {
    /// The stream of `seed` that belongs to `name`: streams of one seed do not depend on
    /// each other, so a machine has the same luck whatever the others do.
    pub fn new(seed: u64, name: &str) -> Self {
        // FNV-1a.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut dice = Self(seed ^ hash);
        dice.roll();
        dice
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, but not, 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept, as many as fit")]
    pub fn fraction(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that has this chance.
    pub fn happens(&mut self, chance: f64) -> bool {
        // Drawn even where the answer is known: a rate must not change what comes after it.
        self.fraction() < chance
    }
}

/// How long something takes: mostly near `least`, seldom near `most`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Seconds.
    pub least: f64,
    /// Seconds.
    pub most: f64,
}

impl Span {
    /// From `least` to `most` seconds.
    pub const fn new(least: f64, most: f64) -> Self {
        Self { least, most }
    }

    /// A time. The cube puts half of them in the first eighth of the span: machines of one
    /// kind are alike, with a few stragglers.
    pub fn draw(&self, dice: &mut Dice) -> Duration {
        let place = dice.fraction().powi(3);
        let seconds = self.least + (self.most - self.least).max(0.0) * place;
        // Whole milliseconds: a clock that counts them comes to the same instants.
        let millis = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default().as_millis();
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// The same in `factor` of the time.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { least: self.least * factor, most: self.most * factor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut dice = Dice::new(7, "node-1");
        let drawn = [dice.roll(), dice.roll(), dice.roll()];
        let mut again = Dice::new(7, "node-1");
        assert_eq!(drawn, [again.roll(), again.roll(), again.roll()]);
        assert_eq!(drawn, KNOWN, "seeds that were written down mean other runs now");
        assert_ne!(Dice::new(7, "node-2").roll(), drawn[0]);
        assert_ne!(Dice::new(8, "node-1").roll(), drawn[0]);
    }

    const KNOWN: [u64; 3] = [0xbc15_1a9e_3db5_9376, 0x67a8_675b_4cd4_e027, 0xc57d_b68a_d09d_9af3];

    #[test]
    fn chances_and_times_are_as_they_should_be() {
        let mut dice = Dice::new(1, "");
        let hits = (0..10_000).filter(|_| dice.happens(0.02)).count();
        assert!((150..250).contains(&hits), "{hits}");
        let span = Span::new(10.0, 50.0);
        let mut times: Vec<_> = (0..1000).map(|_| span.draw(&mut dice).as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        assert!(times[0] >= 10.0 && times[999] <= 50.0);
        assert!((14.0..16.0).contains(&times[500]), "{}", times[500]);
    }
}
