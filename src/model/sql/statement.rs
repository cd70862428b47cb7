//! A statement of ours, with its values and how its answer is read.

use super::{Row, Value};
use crate::model::ModelError;

/// A statement that every database understands, what stands for `$1`, `$2` and so on in it, and what a row of its answer says.
pub(in crate::model) struct Statement<'a, T = ()> {
    pub sql: &'static str,
    pub values: Vec<Value<'a>>,
    pub read: fn(Row) -> Result<T, ModelError>,
}

impl<'a> Statement<'a> {
    /// One whose answer nobody reads.
    pub(super) fn change(sql: &'static str, values: impl Into<Vec<Value<'a>>>) -> Statement<'a> {
        Statement { sql, values: values.into(), read: |_| Ok(()) }
    }
}
