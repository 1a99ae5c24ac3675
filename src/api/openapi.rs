//! The description of the interface, made from the handlers.

use super::{environments, nodes, operations, service};
use crate::types::{Event, NodeInfo, NodeStatus, Poll};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(title = "Kadence", description = "Bare-metal provisioning"),
    paths(
        service::version,
        service::headers_prefix,
        service::info,
        service::clusters,
        service::openapi,
        service::metrics,
        service::events,
        nodes::list,
        nodes::one,
        environments::list,
        environments::record,
        environments::remove,
        operations::deploy,
        operations::reboot,
        operations::power,
        operations::power_list_or_status,
        operations::list,
        operations::poll,
        operations::logs,
        operations::debugs,
        operations::state,
        operations::status,
        operations::error,
        operations::resume,
        operations::delete,
    ),
    components(schemas(Event, Poll, NodeStatus, NodeInfo))
)]
struct Document;

/// The `OpenAPI` document, JSON.
pub fn document() -> String {
    // Everything in it is text and numbers: writing it cannot fail.
    Document::openapi().to_pretty_json().unwrap_or_default()
}
