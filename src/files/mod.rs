//! Files of an operation: grabbed from wherever they are, into the cache.
//!
//! [`Grabber`] turns a reference of a request into a local file that stays there, which a
//! [`Depot`] keeps: the cache. `http` reads from web servers and from the file server that a
//! client opens for its own files. [`sha256`] is what a file of this machine is now.

mod depot;
mod digest;
mod grab;
mod http;

pub use depot::{Depot, Grabbed};
pub(crate) use digest::{OLD, TAG};
pub use digest::{checksum, sha256};
pub use grab::{Grabber, Tag, What};
