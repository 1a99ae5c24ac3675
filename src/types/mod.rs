//! What goes over the wire: requests, answers, events and errors of the API.
//!
//! The API decodes into these types and encodes from them; the command line
//! does the reverse. Nothing here acts. The shapes are those of Kadeploy 3's
//! REST interface, so that its clients keep working; fields of our own are
//! marked.

mod advice;
mod console;
mod event;
mod explanation;
mod operation;
mod problem;
mod reloaded;
mod request;
mod status;

pub use advice::{Advice, Class, advice, is_mistake};
pub use console::ConsoleLog;
pub use event::{Event, EventBody};
pub use explanation::{Explanation, OperationOfNode, Seen, SeenRequest};
pub use operation::{
    Created, Discarded, EnvironmentRef, Kind, NodeInfo, NodeLists, NodeStatus, Poll, Resources,
};
pub use problem::{Code, Problem};
pub use reloaded::Reloaded;
pub use request::{
    AutomataOverride, Common, DeployRequest, EnvironmentChoice, InstanceOverride, Nodes,
    PowerRequest, PxeChoice, RebootKind, RebootRequest,
};
pub use status::{ClusterStatus, MacroStatus, StatusTree, StepNodes, StepStatus};
