//! The lab: powered machines without hardware.
