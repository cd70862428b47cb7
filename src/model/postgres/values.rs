//! Values as PostgreSQL sends them: in binary, by their types.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, WrongType, to_sql_checked};

use crate::model::{Row, Value};

type Fault = Box<dyn Error + Sync + Send>;

/// What stands before a JSONB value: the version of its form.
const JSONB_VERSION: u8 = 1;

const UUID_BYTES: usize = 16;

fn is_text(ty: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::JSON, Type::UNKNOWN].contains(ty)
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        let too_large = |_| Box::new(WrongType::new::<i64>(ty.clone())) as Fault;
        match self {
            Value::Null => return Ok(IsNull::Yes),
            Value::Integer(number) if *ty == Type::INT8 => out.extend_from_slice(&number.to_be_bytes()),
            Value::Integer(number) if *ty == Type::INT4 => {
                out.extend_from_slice(&i32::try_from(*number).map_err(too_large)?.to_be_bytes());
            }
            Value::Integer(number) if *ty == Type::INT2 => {
                out.extend_from_slice(&i16::try_from(*number).map_err(too_large)?.to_be_bytes());
            }
            Value::Integer(number) if *ty == Type::BOOL => out.extend_from_slice(&[u8::from(*number != 0)]),
            Value::Real(number) if *ty == Type::FLOAT8 => out.extend_from_slice(&number.to_be_bytes()),
            Value::Text(text) if is_text(ty) => out.extend_from_slice(text.as_bytes()),
            Value::Text(text) if *ty == Type::JSONB => {
                out.extend_from_slice(&[JSONB_VERSION]);
                out.extend_from_slice(text.as_bytes());
            }
            Value::Text(text) if *ty == Type::BYTEA => out.extend_from_slice(text.as_bytes()),
            Value::Bytes(bytes) if *ty == Type::BYTEA => out.extend_from_slice(bytes),
            Value::Bytes(bytes) if *ty == Type::UUID && bytes.len() == UUID_BYTES => out.extend_from_slice(bytes),
            _ => return Err(Box::new(WrongType::new::<Value<'static>>(ty.clone()))),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value<'static> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Fault> {
        Ok(match *ty {
            Type::INT8 => Value::Integer(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => Value::Integer(i32::from_be_bytes(raw.try_into()?).into()),
            Type::INT2 => Value::Integer(i16::from_be_bytes(raw.try_into()?).into()),
            Type::BOOL => Value::Integer(i64::from(raw != [0])),
            Type::FLOAT8 => Value::Real(f64::from_be_bytes(raw.try_into()?)),
            Type::BYTEA | Type::UUID => Value::Bytes(raw.to_vec().into()),
            Type::JSONB => {
                let text = raw.strip_prefix(&[JSONB_VERSION]).unwrap_or(raw);
                Value::Text(std::str::from_utf8(text)?.to_owned().into())
            }
            _ => Value::Text(std::str::from_utf8(raw)?.to_owned().into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Fault> {
        Ok(Value::Null)
    }

    fn accepts(ty: &Type) -> bool {
        let numbers = [Type::INT8, Type::INT4, Type::INT2, Type::BOOL, Type::FLOAT8];
        is_text(ty) || numbers.contains(ty) || [Type::BYTEA, Type::UUID, Type::JSONB].contains(ty)
    }
}

/// The columns of a row.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Row, tokio_postgres::Error> {
    (0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>().map(Row::new)
}
