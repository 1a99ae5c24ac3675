//! Options of a transfer: what the client asked, within what we allow.

use std::time::Duration;
use tftpd::{OptionType, TransferOption};

/// The most that clients may ask for. Transfers hold nothing of what they send: what was read of files
/// is shared, in `buffer` bytes for all.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest block in bytes; 1468 keeps a packet within an Ethernet frame.
    pub block_size: u16,
    /// Most blocks in flight; throughput levels out near 64.
    pub window: u16,
    /// Wait before a window is sent again, unless the client asks otherwise.
    pub timeout: Duration,
    /// How often a window is sent without any progress before the transfer is given up.
    pub sends: u32,
    /// Most transfers at once; requests above it are dropped, and clients ask again.
    pub transfers: usize,
    /// Longest transfer, whatever the client does.
    pub duration: Duration,
    /// Most bytes of files in memory, for all transfers together; none of it when there are none.
    pub buffer: usize,
    /// Requests of one client address per second, and twice that at once; more are dropped.
    pub requests: u32,
    /// Most transfers of one client address at once.
    pub per_client: usize,
    /// Most transfers of one client address at once of which it has acknowledged nothing. Whoever
    /// sends requests in the name of another machine has that machine hit by no more than these.
    pub unheard: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block_size: 1468,
            window: 64,
            timeout: Duration::from_secs(1),
            sends: 6,
            transfers: 1024,
            duration: Duration::from_secs(1800),
            buffer: 64 * 1024 * 1024,
            requests: 100,
            per_client: 64,
            unheard: 8,
        }
    }
}

/// Block size without the option (RFC 1350).
const PLAIN_BLOCK: u16 = 512;
/// Longest timeout that is accepted, in seconds. RFC 2349 has 255: a client that
/// vanishes would hold its slot for half an hour.
const LONGEST_TIMEOUT: u16 = 10;

/// What both sides agreed on.
#[derive(Debug, PartialEq)]
pub(super) struct Agreed {
    pub(super) block_size: u16,
    pub(super) window: u16,
    pub(super) timeout: Duration,
    /// To be acknowledged to the client; empty if it asked for nothing we know.
    pub(super) answer: Vec<TransferOption>,
}

impl Limits {
    /// Settles the options `asked` for content of `len` bytes; without a length
    /// (netascii, where it depends on the text) `tsize` is not answered. An
    /// option that is out of its range is left out, as if we did not know it
    /// (RFC 2347), and of one that is given twice the first counts.
    pub(super) fn agree(&self, asked: &[TransferOption], len: Option<u64>) -> Agreed {
        let mut agreed = Agreed {
            block_size: PLAIN_BLOCK,
            window: 1,
            timeout: self.timeout,
            answer: Vec::new(),
        };
        for &TransferOption { option, value } in asked {
            if agreed.answer.iter().any(|answered| answered.option == option) {
                continue;
            }
            let value = match option {
                OptionType::BlockSize if value >= 8 => {
                    agreed.block_size = at_most(value, self.block_size.max(8));
                    agreed.block_size.into()
                }
                OptionType::WindowSize if value >= 1 => {
                    agreed.window = at_most(value, self.window.max(1));
                    agreed.window.into()
                }
                // The timeout must be taken as it is or not at all (RFC 2349).
                OptionType::Timeout if (1..=LONGEST_TIMEOUT.into()).contains(&value) => {
                    agreed.timeout = Duration::from_secs(value);
                    value
                }
                OptionType::TransferSize => match len {
                    Some(len) => len,
                    None => continue,
                },
                _ => continue,
            };
            agreed.answer.push(TransferOption { option, value });
        }
        agreed
    }
}

fn at_most(value: u64, most: u16) -> u16 {
    u16::try_from(value).map_or(most, |value| value.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(option: OptionType, value: u64) -> TransferOption {
        TransferOption { option, value }
    }

    #[test]
    fn a_greedy_client_gets_no_more_than_the_limits() {
        let asked = [
            ask(OptionType::BlockSize, 65464),
            ask(OptionType::WindowSize, 65535),
            ask(OptionType::TransferSize, 0),
            ask(OptionType::BlockSize, 9),
        ];
        let agreed = Limits::default().agree(&asked, Some(42));
        assert_eq!((agreed.block_size, agreed.window), (1468, 64));
        assert_eq!(agreed.answer.iter().map(|o| o.value).collect::<Vec<_>>(), [1468, 64, 42]);
    }

    #[test]
    fn nothing_asked_is_plain_tftp() {
        let agreed = Limits::default().agree(&[], Some(42));
        assert_eq!((agreed.block_size, agreed.window, agreed.answer.len()), (512, 1, 0));
    }

    fn any_option() -> impl Strategy<Value = TransferOption> {
        let kind = prop_oneof![
            Just(OptionType::BlockSize),
            Just(OptionType::WindowSize),
            Just(OptionType::Timeout),
            Just(OptionType::TransferSize),
            Just(OptionType::UTimeout),
            Just(OptionType::WindowWait),
        ];
        let value = prop_oneof![0..300u64, 0..70_000u64, any::<u64>()];
        (kind, value).prop_map(|(option, value)| ask(option, value))
    }

    proptest! {
        /// Nothing beyond the limits or the RFCs, no answer that was not asked, no
        /// answer above what was asked, and what is answered is what is done.
        #[test]
        fn what_is_agreed_is_within_bounds(
            asked in prop::collection::vec(any_option(), 0..8),
            len in any::<Option<u64>>(),
            block_size in any::<u16>(),
            window in any::<u16>(),
        ) {
            let limits = Limits { block_size, window, ..Limits::default() };
            let agreed = limits.agree(&asked, len);
            prop_assert!((8..=block_size.max(512)).contains(&agreed.block_size));
            prop_assert!(agreed.window >= 1 && agreed.window <= window.max(1));
            prop_assert!(agreed.timeout <= Duration::from_secs(LONGEST_TIMEOUT.into()));
            for (index, answer) in agreed.answer.iter().enumerate() {
                let first = asked.iter().find(|a| a.option == answer.option
                    && limits.agree(&[**a], len).answer.len() == 1);
                prop_assert!(first.is_some());
                prop_assert!(agreed.answer[..index].iter().all(|a| a.option != answer.option));
                match answer.option {
                    OptionType::TransferSize => prop_assert_eq!(Some(answer.value), len),
                    OptionType::Timeout => {
                        prop_assert_eq!(Duration::from_secs(answer.value), agreed.timeout);
                    }
                    OptionType::BlockSize => {
                        prop_assert_eq!(answer.value, u64::from(agreed.block_size));
                        prop_assert!(answer.value <= first.unwrap().value.min(block_size.max(8).into()));
                    }
                    _ => {
                        prop_assert_eq!(answer.value, u64::from(agreed.window));
                        prop_assert!(answer.value <= first.unwrap().value);
                    }
                }
            }
        }
    }
}
