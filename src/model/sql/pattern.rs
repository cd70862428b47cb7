//! Patterns for SQL's `LIKE`.

/// The pattern that finds `text` anywhere in a column, with nothing in it meant as a wildcard: for
/// `name LIKE ?1 ESCAPE '\'`.
///
/// ```
/// assert_eq!(factlog::model::containing(r"50%_off\"), r"%50\%\_off\\%");
/// ```
pub fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn percent_and_underscore_and_backslash_are_letters() {
        let connection = Connection::open_in_memory().unwrap();
        let found = |text: &str, searched: &str| -> bool {
            let sql = r"SELECT ?1 LIKE ?2 ESCAPE '\'";
            connection.query_row(sql, [text, &containing(searched)], |row| row.get(0)).unwrap()
        };
        for (text, searched) in [("a_b", "_"), ("100%", "%"), (r"a\b", r"\"), ("Anna", "nn"), ("x", ""), ("a_%b", "_%")]
        {
            assert!(found(text, searched), "{text} has {searched}");
        }
        for (text, searched) in [("ab", "_"), ("ab", "%"), ("ab", r"\"), ("a%", "_"), ("abc", "a_c"), ("abc", "a%c")] {
            assert!(!found(text, searched), "{text} has no {searched}");
        }
    }
}
