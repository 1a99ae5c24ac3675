//! Kadeploy's YAML files as types, with precise errors.
