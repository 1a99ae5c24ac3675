//! The client's side of the interface.
//!
//! * `door` – whom to trust, and what proves who we are
//! * `http` – requests and answers, errors as the service words them
//! * `events` – the service's event stream, read
//! * `follow` – an operation watched to its end: the stream, or polls where it breaks
//! * `tracker` – where each node is, from the events
//! * `progress` – what a person sees of it: bars on a terminal, lines elsewhere
//! * `outcome` – how an operation ended, as lists or as one JSON document
//! * `export` – the file server that hands local files to the service
//! * `print` – the only writer to the terminal

mod attach;
mod door;
mod error;
mod events;
mod export;
mod follow;
mod http;
mod outcome;
mod print;
mod progress;
mod tracker;

pub use attach::attach;
pub use door::{Door, Proof};
pub use error::ClientError;
pub use events::Events;
pub use export::{Export, Serving};
pub use follow::{Followed, follow, follow_from};
pub use http::{Client, LogPage, MOST_ADDRESS, kind_of};
pub use outcome::Outcome;
pub use print::{Printer, tell, write_out};
pub use progress::{Bars, DataLines, Lines, Screen, View};
