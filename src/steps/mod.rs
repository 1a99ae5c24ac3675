//! Micro-steps: what is done to a set of nodes.
//!
//! [`Micro`] names every treatment; each family has its file and sees machines
//! only through the ports. A step works on all its nodes at once and says, node
//! by node, how it went; when some lag far behind, [`gather`] hands the ready
//! ones over so that nobody waits for a straggler.
//!
//! | file | steps |
//! |---|---|
//! | `profile` | `switch_pxe` |
//! | `power` | `reboot`, `reboot_from_deploy_env`, `power` |
//! | `together` | orders that one command gives to several nodes |
//! | `wait` | `wait_reboot` |
//! | `disk` | partition table, formatting, mounting |
//! | `image` | `send_environment`, `check_kernel_files` |
//! | `install` | keys, pre- and post-install archives, boot loader |
//! | `kexec` | `send_deployment_kernel`, `kexec` |
//! | `network` | `set_vlan` |
//! | `nodes` | `check_nodes`, `load_drivers` |
//! | `custom` | what administrators and users put beside micro-steps |
//! | `run` | what the steps of one workflow share |
//! | `ledger` | what they write down, to be known after a restart |
//! | `recover` | a look at what was ordered before a restart |
//! | `again` | where nodes go on on which another operation failed |
//! | `undo` | what becomes of nodes whose deployment is cancelled or fails |
//! | `gather` | all nodes at once, stragglers left behind |
//! | `ticket` | what may destroy what is on a disk, once |
//! | `turns` | one order at a time per node and BMC, and rest between them |
//! | `remote` | one command on one node, with its limits |
//! | `variables` | what administrators' and users' scripts are told |

mod again;
mod custom;
mod disk;
mod gather;
mod image;
mod install;
mod kexec;
mod ledger;
mod micro;
mod network;
mod nodes;
mod power;
mod profile;
mod recover;
mod remote;
mod run;
#[cfg(test)]
mod tests;
mod ticket;
mod together;
mod turns;
mod undo;
mod variables;
mod wait;

pub use again::{Begin, Entrance, Left, still_there};
pub use custom::{CustomAction, CustomFile, CustomOperation, CustomStep};
pub use ledger::{Ledger, Note, Phase};
pub use micro::{By, Check, Micro, PowerStep, Step};
pub(crate) use network::is_word;
pub use profile::{Boots, restore as restore_profiles};
pub use run::{
    Files, Journalist, KexecSettings, Run, Settings, Target, UserProfile, Vlan, Windows,
};
pub use turns::Turns;
pub use undo::{Undone, clear_profile, tidy, undo};
