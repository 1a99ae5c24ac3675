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
//! | `wait` | `wait_reboot` |
//! | `disk` | partition table, formatting, mounting |
//! | `image` | `send_environment`, `check_kernel_files` |
//! | `install` | keys, pre- and post-install archives, boot loader |
//! | `kexec` | `kexec` |
//! | `run` | what the steps of one workflow share |
//! | `gather` | all nodes at once, stragglers left behind |
//! | `remote` | one command on one node, with its limits |
//! | `variables` | what administrators' and users' scripts are told |

mod disk;
mod gather;
mod image;
mod install;
mod kexec;
mod micro;
mod power;
mod profile;
mod remote;
mod run;
mod variables;
mod wait;

pub use micro::{Micro, PowerStep, Step};
pub use run::{Files, Journalist, Run, Settings, Target, Windows};
