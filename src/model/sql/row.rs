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
        self.optional(column, Row::text)
    }

    /// Takes a column that holds bytes, or a text, which is bytes as well.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnreadableRow`] when it holds something else.
    pub fn bytes(&mut self, column: usize) -> Result<Vec<u8>, ModelError> {
        match self.value(column) {
            Value::Bytes(bytes) => Ok(bytes.into_owned()),
            Value::Text(text) => Ok(text.into_owned().into_bytes()),
            other => Err(unlike("bytes", column, &other)),
        }
    }

    /// Takes a column that holds bytes, a text or nothing.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnreadableRow`] when it holds something else.
    pub fn optional_bytes(&mut self, column: usize) -> Result<Option<Vec<u8>>, ModelError> {
        self.optional(column, Row::bytes)
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

    /// Takes a column that holds a whole number or nothing.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnreadableRow`] when it holds something else.
    pub fn optional_integer(&mut self, column: usize) -> Result<Option<i64>, ModelError> {
        self.optional(column, Row::integer)
    }

    /// Takes a column that holds a number in binary floating point.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnreadableRow`] when it holds something else.
    pub fn real(&mut self, column: usize) -> Result<f64, ModelError> {
        match self.value(column) {
            Value::Real(number) => Ok(number),
            other => Err(unlike("a real number", column, &other)),
        }
    }

    fn optional<T>(
        &mut self,
        column: usize,
        take: impl FnOnce(&mut Row, usize) -> Result<T, ModelError>,
    ) -> Result<Option<T>, ModelError> {
        if matches!(self.0.get(column), None | Some(Value::Null)) { Ok(None) } else { take(self, column).map(Some) }
    }
}

fn unlike(expected: &str, column: usize, found: &Value<'_>) -> ModelError {
    ModelError::unreadable_row(column, format!("it holds {}, not {expected}", found.kind()))
}
