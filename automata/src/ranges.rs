//! Names of nodes as people write them: ranges such as `node-[1-3,07-10].site`.

mod expand;
mod fold;
mod order;

pub use expand::{RangeError, expand};
pub use fold::fold;
pub use order::natural_order;
