//! Little-endian fields in bytes, read and written within bounds.
//!
//! Every format of the store is laid out by hand with these two. Neither panics, whatever the bytes: a field beyond
//! the end is `None` to the reader and leaves the writer's buffer as it is.

/// Takes fields from the front of a piece of bytes.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*field)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
}

/// Puts fields one behind the other into a piece of bytes.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    rest: &'a mut [u8],
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Writer<'a> {
        Writer { rest: bytes }
    }

    pub(crate) fn bytes(mut self, field: &[u8]) -> Writer<'a> {
        debug_assert!(field.len() <= self.rest.len(), "a field beyond the end of its layout");
        if let Some((place, rest)) = self.rest.split_at_mut_checked(field.len()) {
            place.copy_from_slice(field);
            self.rest = rest;
        } else {
            self.rest = &mut [];
        }
        self
    }

    pub(crate) fn u8(self, field: u8) -> Writer<'a> {
        self.bytes(&[field])
    }

    pub(crate) fn u16(self, field: u16) -> Writer<'a> {
        self.bytes(&field.to_le_bytes())
    }

    pub(crate) fn u32(self, field: u32) -> Writer<'a> {
        self.bytes(&field.to_le_bytes())
    }

    pub(crate) fn u64(self, field: u64) -> Writer<'a> {
        self.bytes(&field.to_le_bytes())
    }

    pub(crate) fn i64(self, field: i64) -> Writer<'a> {
        self.bytes(&field.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_in_the_order_they_were_put() {
        let mut bytes = [0u8; 23];
        Writer::new(&mut bytes).u8(1).u16(0x0203).u32(4).u64(5).i64(-6);
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.array(), reader.u16(), reader.u32()), (Some([1]), Some(0x0203), Some(4)));
        assert_eq!((reader.u64(), reader.i64(), reader.u16()), (Some(5), Some(-6), None));
        assert_eq!(bytes[1..3], [3, 2], "little-endian");
    }
}
