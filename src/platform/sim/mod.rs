//! Simulated machines, in the process.
//!
//! A [`World`] holds the machines of one cluster: BMC, firmware, boot loader, disk, systems.
//! The service reaches it through the same ports as real machines, and nothing above the
//! ports knows the difference. The world outlives a service: it is owned by whoever runs the
//! service, and [`World::plug`] connects the next one.
//!
//! Everything that happens follows from a seed, the clock of tokio and what the machines are
//! told. There are no tasks, sockets, threads or files, so under a paused clock hours take
//! milliseconds and the same seed gives the same run. Only a world that is kept in a directory
//! ([`World::kept`]) has files: it outlives the process as well.
//!
//! | file | what |
//! |---|---|
//! | `world` | the machines, their clock, their luck |
//! | `machine` | one machine: a state machine without a clock |
//! | `loader` | boot loaders, which read the real profiles |
//! | `disk`, `whole`, `net` | what a machine boots from |
//! | `power`, `shell`, `transfer`, `sight`, `console` | the ports |
//! | `faults`, `settings`, `dice` | what goes wrong, how long things take, chance |
//! | `keeper` | the files of machines that outlive the process |
//! | `audit` | what was done to each node, and what must never happen |

mod audit;
mod console;
mod dice;
mod disk;
mod faults;
mod keeper;
mod loader;
mod machine;
mod net;
mod power;
mod settings;
mod shell;
mod sight;
mod transfer;
mod whole;
mod world;

pub use audit::{Audit, Bounds, Deeds};
pub use dice::{Dice, Span};
pub use disk::Image;
pub use faults::{BadFaults, Fault, FaultKind, Faults};
pub use settings::Hardware;
pub use whole::{Layout, Slice};
pub use world::{Kind, World};
