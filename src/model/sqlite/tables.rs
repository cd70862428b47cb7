//! The SQL that every database understands, said to SQLite.

use rusqlite::{
    CachedStatement, Connection, Error, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use crate::model::{Dialect, ModelError, Row, Tables, Value, sql::Statement};

/// Carries out a statement whose answer nobody reads.
pub(super) fn say(connection: &Connection, statement: Statement<'_>) -> Result<(), ModelError> {
    connection.run(statement.sql, &statement.values)
}

/// What a statement answers.
pub(super) fn ask<T>(connection: &Connection, statement: Statement<'_, T>) -> Result<Vec<T>, ModelError> {
    connection.query(statement.sql, &statement.values)?.into_iter().map(statement.read).collect()
}

/// The first row of what a statement answers.
pub(super) fn ask_one<T>(connection: &Connection, statement: Statement<'_, T>) -> Result<Option<T>, ModelError> {
    Ok(ask(connection, statement)?.into_iter().next())
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Tables for Connection {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn define(&self, sql: &str) -> Result<(), ModelError> {
        Ok(self.execute_batch(sql)?)
    }

    fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<(), ModelError> {
        Ok(bound(self, sql, values)?.raw_execute().map(drop)?)
    }

    fn change(
        &self,
        sql: &str,
        values: &[Value<'_>],
        otherwise: impl FnOnce() -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let changed = bound(self, sql, values)?.raw_execute()?;
        if changed == 0 { otherwise() } else { Ok(()) }
    }

    fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, ModelError> {
        let mut statement = bound(self, sql, values)?;
        let columns = statement.column_count();
        let (mut found, mut rows) = (Vec::new(), statement.raw_query());
        while let Some(row) = rows.next()? {
            let value = |column| owned(column, row.get_ref(column)?);
            found.push(Row::new((0..columns).map(value).collect::<rusqlite::Result<_>>()?));
        }
        Ok(found)
    }
}

/// The statement with its values. SQLite numbers the names `$1`, `$2` in the order in which they come first, so each is looked at.
fn bound<'a>(connection: &'a Connection, sql: &str, values: &[Value<'_>]) -> rusqlite::Result<CachedStatement<'a>> {
    let mut statement = connection.prepare_cached(sql)?;
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index).unwrap_or_default();
        let number = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        match number.and_then(|number| values.get(number.checked_sub(1)?)) {
            Some(value) => statement.raw_bind_parameter(index, value)?,
            None => return Err(Error::InvalidParameterName(name.to_owned())),
        }
    }
    Ok(statement)
}

fn owned(column: usize, value: ValueRef<'_>) -> rusqlite::Result<Value<'static>> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned().into()),
            Err(error) => return Err(Error::Utf8Error(column, error)),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec().into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_by_their_numbers_in_whichever_order_these_come() {
        let connection = Connection::open_in_memory().unwrap();
        let values = [Value::from("a"), Value::from(2), Value::Null, Value::Real(0.5), Value::Bytes(vec![1].into())];
        let found = connection.query("SELECT $3, $2, $1, $5, $2, $4", &values).unwrap();
        let [one, two, three, four, five] = values.clone();
        assert_eq!(found, [Row::new(vec![three, two.clone(), one, five, two, four])]);
    }

    #[test]
    fn a_value_that_is_missing_is_an_error() {
        let connection = Connection::open_in_memory().unwrap();
        for sql in ["SELECT $1, $2", "SELECT $0", "SELECT ?1", "SELECT :a"] {
            assert!(connection.query(sql, &[Value::from(1)]).is_err(), "{sql}");
        }
    }

    #[test]
    fn a_change_of_no_row_is_what_is_said_of_it() {
        let connection = Connection::open_in_memory().unwrap();
        connection.define("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
        let none = || Err(ModelError::AggregateNotFound { id: "none".into() });
        let update = |x: i64| connection.change("UPDATE t SET x = $2 WHERE x = $1", &[x.into(), (x + 1).into()], none);
        assert!(update(1).is_ok());
        assert!(update(1).is_err());
    }
}
