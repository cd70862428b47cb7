//! A row of an answer.

use std::mem;

use super::Value;
use crate::model::ModelError;

/// A row of an answer. Its columns are counted from 0, and each is taken out once.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(Vec<Value<'static>>);

impl Row {
    pub(in crate::model) fn new(columns: Vec<Value<'static>>) -> Row {
        Row(columns)
    }

    /// Takes a column; what was taken before, and a column that is not there, is [`Value::Null`].
    pub fn value(&mut self, column: usize) -> Value<'static> {
        self.0.get_mut(column).map_or(Value::Null, |value| mem::replace(value, Value::Null))
    }

    /// Takes a column that holds a text.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnreadableRow`] when it holds something else.
    pub fn text(&mut self, column: usize) -> Result<String, ModelError> {
        match self.value(column) {
            Value::Text(text) => Ok(text.into_owned()),
            other => Err(unlike("a text", column, &other)),
        }
    }

    /// Takes a column that holds a text or nothing.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnreadableRow`] when it holds something else.
    pub fn optional_text(&mut self, column: usize) -> Result<Option<String>, ModelError> {
        match self.value(column) {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.into_owned())),
            other => Err(unlike("a text or nothing", column, &other)),
        }
    }

    /// Takes a column that holds a whole number.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnreadableRow`] when it holds something else.
    pub fn integer(&mut self, column: usize) -> Result<i64, ModelError> {
        match self.value(column) {
            Value::Integer(number) => Ok(number),
            other => Err(unlike("an integer", column, &other)),
        }
    }
}

fn unlike(expected: &str, column: usize, found: &Value<'_>) -> ModelError {
    ModelError::unreadable_row(column, format!("it holds {}, not {expected}", found.kind()))
}
