//! Event sourcing for applications.
