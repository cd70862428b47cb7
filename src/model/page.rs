//! Parts of long answers.

use serde::Serialize;
use thiserror::Error;

/// Which part of a long answer is wanted: `limit` things a page, the first page being 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    number: u64,
    limit: u64,
}

/// A page or a limit below 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the {what} is {found}; it must be at least 1")]
pub struct BadPage {
    /// Which of the two.
    pub what: &'static str,
    /// Its value.
    pub found: i64,
}

/// The place of a page in the whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    /// The page's number, from 1.
    pub page: u64,
    /// Things a page.
    pub limit: u64,
    /// Things in the whole answer.
    pub total: u64,
    /// Pages in the whole answer.
    pub total_pages: u64,
}

impl Page {
    /// The page with this number, of so many things.
    ///
    /// # Errors
    ///
    /// When either is below 1.
    pub fn new(page: i64, limit: i64) -> Result<Page, BadPage> {
        let at_least_one = |what, found: i64| match u64::try_from(found) {
            Err(_) | Ok(0) => Err(BadPage { what, found }),
            Ok(number) => Ok(number),
        };
        Ok(Page { number: at_least_one("page", page)?, limit: at_least_one("limit", limit)? })
    }

    /// How many things it holds at most, for a `LIMIT` of SQL.
    pub fn limit(self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX)
    }

    /// How many things lie before it, for an `OFFSET` of SQL.
    pub fn offset(self) -> i64 {
        i64::try_from((self.number - 1).saturating_mul(self.limit)).unwrap_or(i64::MAX)
    }

    /// Its place in an answer of so many things.
    pub fn of(self, total: u64) -> Pagination {
        let Page { number: page, limit } = self;
        Pagination { page, limit, total, total_pages: total.div_ceil(limit) }
    }
}

/// The first page, of ten things.
impl Default for Page {
    fn default() -> Self {
        Page { number: 1, limit: 10 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_or_limit_below_1_is_refused_and_the_farthest_page_has_an_offset() {
        for (page, limit, what) in [(0, 10, "page"), (-1, 10, "page"), (1, 0, "limit"), (1, i64::MIN, "limit")] {
            let bad = Page::new(page, limit).unwrap_err();
            assert_eq!(bad.what, what);
            assert!(bad.to_string().ends_with("it must be at least 1"), "{bad}");
        }
        let farthest = Page::new(i64::MAX, i64::MAX).unwrap();
        assert_eq!((farthest.limit(), farthest.offset()), (i64::MAX, i64::MAX));
    }

    #[test]
    fn pages_are_counted_from_1_and_the_last_may_be_short() {
        let page = Page::new(3, 10).unwrap();
        assert_eq!((page.limit(), page.offset()), (10, 20));
        assert_eq!(page.of(21), Pagination { page: 3, limit: 10, total: 21, total_pages: 3 });
        assert_eq!(page.of(20).total_pages, 2);
        assert_eq!(page.of(0).total_pages, 0);
    }
}
