//! What is asked for, whatever the operation is.

use super::custom;
use crate::types::{Common, DeployRequest, Kind, PowerRequest, Problem, PxeChoice, RebootRequest};

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Request {
    /// Install an environment.
    Deploy(Box<DeployRequest>),
    /// Boot anew.
    Reboot(Box<RebootRequest>),
    /// Switch on or off, or ask.
    Power(Box<PowerRequest>),
}

/// Who asks for what.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What.
    pub request: Request,
    /// Name of the user.
    pub user: String,
}

impl Request {
    /// Which operation it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Deploy(_) => Kind::Deploy,
            Self::Reboot(_) => Kind::Reboot,
            Self::Power(_) => Kind::Power,
        }
    }

    pub(super) fn common(&self) -> &Common {
        match self {
            Self::Deploy(request) => &request.common,
            Self::Reboot(request) => &request.common,
            Self::Power(request) => &request.common,
        }
    }

    pub(super) fn profile(&self) -> Option<&PxeChoice> {
        match self {
            Self::Deploy(request) => request.pxe.as_ref(),
            Self::Reboot(request) => request.pxe.as_ref(),
            Self::Power(_) => None,
        }
    }

    pub(super) fn vlan(&self) -> Option<&str> {
        match self {
            Self::Deploy(request) => request.vlan.as_deref(),
            Self::Reboot(request) => request.vlan.as_deref(),
            Self::Power(_) => None,
        }
    }

    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Deploy(request) => request.ssh_authorized_keys.as_deref(),
            Self::Reboot(request) => request.ssh_authorized_keys.as_deref(),
            Self::Power(_) => None,
        }
    }
}

impl Asked {
    /// The file of public keys, if one was named.
    pub(super) fn key(&self) -> Option<&str> {
        self.request.key()
    }

    /// Files of the user's own operations.
    pub(super) fn custom_files(&self) -> Result<Vec<String>, Problem> {
        let wanted = self.request.common().custom_operations.as_ref();
        Ok(custom::files(&custom::requested(self.request.kind(), wanted)?))
    }

    /// Files of the user's own boot profile.
    pub(super) fn profile_files(&self) -> &[String] {
        self.request.profile().map_or(&[], |profile| &profile.files)
    }
}
