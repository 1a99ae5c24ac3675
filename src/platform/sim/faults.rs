//! What can go wrong, and how often.

use super::dice::Dice;
use serde::{Deserialize, Serialize};

/// Declares the faults once: their names in files, and their kinds.
macro_rules! faults {
    ($($group:ident { $($(#[doc = $doc:literal])+ $name:ident = $kind:ident),+ $(,)? })+) => {
        /// One way in which a machine, or what is around it, misbehaves.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum FaultKind { $($($(#[doc = $doc])+ $kind,)+)+ }

        impl FaultKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$($(Self::$kind,)+)+];

            /// As files name it: `bmc/silent`.
            pub fn name(self) -> &'static str {
                match self { $($(Self::$kind => concat!(stringify!($group), "/", stringify!($name)),)+)+ }
            }
        }

        /// Faults with their rates and counts, as a file has them. What is not named does
        /// not happen.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[expect(missing_docs, reason = "the groups of `FaultKind`")]
        pub struct Faults { $(pub $group: groups::$group,)+ }

        /// The faults of one part of the world each.
        #[expect(non_camel_case_types, reason = "named as in files")]
        pub(super) mod groups {
            use super::{Deserialize, Fault, Serialize};
            $(
                #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
                #[serde(default, deny_unknown_fields)]
                pub struct $group { $(pub $name: Fault,)+ }
            )+
        }

        impl Faults {
            /// How often a kind happens.
            pub fn of(&self, kind: FaultKind) -> Fault {
                match kind { $($(FaultKind::$kind => self.$group.$name,)+)+ }
            }

            fn of_mut(&mut self, kind: FaultKind) -> &mut Fault {
                match kind { $($(FaultKind::$kind => &mut self.$group.$name,)+)+ }
            }
        }
    };
}

faults! {
    bmc {
        /// An order or question is not answered.
        silent = BmcSilent,
        /// The answer takes a minute, and so does the effect.
        slow = BmcSlow,
        /// The order is accepted, and nothing happens.
        lies = BmcLies,
        /// The machine's BMC has another password; drawn once per machine.
        credentials = BmcCredentials,
        /// The BMC has no session left.
        sessions = BmcSessions,
    }
    boot {
        /// The machine does not start after it was switched on or reset.
        lost = BootLost,
        /// The firmware takes five times as long.
        slow = BootSlow,
        /// The kernel panics.
        panic = BootPanic,
        /// The firmware waits for a key.
        stuck = BootStuck,
    }
    ssh {
        /// The connection is refused.
        refused = SshRefused,
        /// The connection breaks off, and the command with it.
        reset = SshReset,
        /// Nothing comes back.
        hangs = SshHangs,
    }
    disk {
        /// The disk has 2 GiB; drawn once per machine.
        small = DiskSmall,
        /// A write fails.
        write_error = DiskWriteError,
        /// The partition fills up while the image is written.
        fills = DiskFills,
    }
    relay {
        /// The peer dies in the middle of the broadcast.
        dies = RelayDies,
        /// The peer stalls until it is given up.
        stalls = RelayStalls,
    }
    network {
        /// A DHCP request is lost.
        dhcp_lost = DhcpLost,
        /// A request for a boot file is lost.
        tftp_lost = TftpLost,
        /// The name of a machine or of its BMC is not resolved.
        dns_gone = DnsGone,
    }
    server {
        /// The clock of the server jumps by an hour, forward or back, when something is written
        /// down.
        clock_jumps = ClockJumps,
        /// A write of the journal fails.
        journal_write = JournalWrite,
        /// The disk of the service is full until the service is started again.
        disk_full = DiskFull,
    }
}

impl FaultKind {
    /// Whether it is a fault of the machine that the service runs on, not of the nodes.
    pub fn is_of_server(self) -> bool {
        matches!(self, Self::JournalWrite | Self::DiskFull)
    }
}

/// How often something goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Fault {
    /// Chance at each occasion, from 0 to 1.
    pub rate: f64,
    /// At most so many times in all; no limit if none.
    pub count: Option<u32>,
}

/// A fault as files have it: a rate, or a rate with a count.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Written {
    Rate(f64),
    Full {
        #[serde(default = "always")]
        rate: f64,
        #[serde(default)]
        count: Option<u32>,
    },
}

/// What a fault with only a count has for a rate: it happens at the first occasions.
fn always() -> f64 {
    1.0
}

impl From<Written> for Fault {
    fn from(written: Written) -> Self {
        match written {
            Written::Rate(rate) => Self { rate, count: None },
            Written::Full { rate, count } => Self { rate, count },
        }
    }
}

/// A description of faults that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFaults {
    /// A rate that is no chance.
    #[error("the rate of {0} is {1}: a chance is from 0 to 1")]
    Rate(&'static str, String),
    /// Not the form of such a file.
    #[error("{0}\nfaults by group, as in `bmc: {{silent: 0.01, lies: {{rate: 0.5, count: 3}}}}`; the names are {names}", names = names())]
    Form(String),
}

fn names() -> String {
    FaultKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

impl Faults {
    /// Everything that can go wrong with nodes does so at one rate.
    ///
    /// # Errors
    /// The rate is no chance.
    pub fn uniform(rate: f64) -> Result<Self, BadFaults> {
        let mut faults = Self::default();
        for kind in FaultKind::ALL.iter().filter(|kind| !kind.is_of_server()) {
            faults.of_mut(*kind).rate = rate;
        }
        faults.checked()
    }

    /// From now on `kind` happens at this rate.
    pub fn set_rate(&mut self, kind: FaultKind, rate: f64) {
        self.of_mut(kind).rate = rate;
    }

    /// What a YAML or JSON text says.
    ///
    /// # Errors
    /// An unknown name, another form, or a rate that is no chance.
    pub fn parse(text: &str) -> Result<Self, BadFaults> {
        let faults: Self =
            serde_saphyr::from_str(text).map_err(|error| BadFaults::Form(error.to_string()))?;
        faults.checked()
    }

    fn checked(self) -> Result<Self, BadFaults> {
        let wrong = FaultKind::ALL.iter().find(|kind| !(0.0..=1.0).contains(&self.of(**kind).rate));
        match wrong {
            None => Ok(self),
            Some(kind) => Err(BadFaults::Rate(kind.name(), self.of(*kind).rate.to_string())),
        }
    }

    /// Whether `kind` happens now; it counts if so.
    pub(super) fn strikes(&mut self, kind: FaultKind, dice: &mut Dice) -> bool {
        let fault = self.of_mut(kind);
        let strikes = dice.happens(fault.rate) && fault.count != Some(0);
        if let (true, Some(left)) = (strikes, &mut fault.count) {
            *left -= 1;
        }
        strikes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_rates_and_counts() {
        let text = "bmc: {silent: 0.25, lies: {rate: 0.5, count: 3}}\nboot: {panic: {count: 1}}\n";
        let mut faults = Faults::parse(text).unwrap();
        assert_eq!(faults.bmc.silent, Fault { rate: 0.25, count: None });
        assert_eq!(faults.bmc.lies, Fault { rate: 0.5, count: Some(3) });
        let mut dice = Dice::new(1, "");
        let panics = (0..10).map(|_| faults.strikes(FaultKind::BootPanic, &mut dice));
        assert_eq!(panics.filter(|struck| *struck).count(), 1);
        assert!((0..100).all(|_| !faults.strikes(FaultKind::SshHangs, &mut dice)));
    }

    #[test]
    fn a_mistake_is_named() {
        let cases = [
            ("bmc: {silent: 2}", "the rate of bmc/silent is 2: a chance is from 0 to 1"),
            ("bmc: {mute: 0.1}", "mute"),
            ("bmc: often", "bmc/silent, bmc/slow"),
        ];
        for (text, words) in cases {
            let error = Faults::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(Faults::uniform(-0.1).is_err() && Faults::uniform(f64::NAN).is_err());
        let uniform = Faults::uniform(0.1).unwrap();
        for kind in FaultKind::ALL {
            let rate = if kind.is_of_server() { 0.0 } else { 0.1 };
            assert_eq!(uniform.of(*kind), Fault { rate, count: None }, "{kind:?}");
        }
    }
}
