//! Exact amounts of money.
//!
//! In JSON an amount is a plain number. A number with at most 15 digits survives the way through the binary floating
//! point of other languages' JSON readers unchanged, which is why an amount has no more. It is read from its text, so
//! that `29.990000000000001` is refused instead of rounded.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;
use thiserror::Error;

/// No amount has more digits than this bound has zeros.
const DIGITS_BOUND: i128 = 1_000_000_000_000_000;

const DECIMALS: u32 = 2;

/// An amount of money in units of a currency: at most two decimals and 15 digits in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(Decimal);

/// A number that is no amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no amount of money: at most two decimals and 15 digits are allowed")]
pub struct MoneyError {
    /// The number as given.
    pub text: String,
}

impl Money {
    /// No money.
    pub const ZERO: Money = Money(Decimal::ZERO);

    fn new(amount: Decimal) -> Result<Money, MoneyError> {
        let amount = amount.normalize();
        if amount.scale() > DECIMALS || amount.mantissa().abs() >= DIGITS_BOUND {
            return Err(MoneyError { text: amount.to_string() });
        }
        Ok(Money(amount))
    }

    /// The amount of so many hundredths.
    ///
    /// # Errors
    ///
    /// When it has more than 15 digits.
    pub fn from_cents(cents: i64) -> Result<Money, MoneyError> {
        Money::new(Decimal::new(cents, DECIMALS))
    }

    /// The amount in hundredths.
    pub fn cents(self) -> i64 {
        let cents = self.0.mantissa() * 10_i128.pow(DECIMALS.saturating_sub(self.0.scale()));
        // 15 digits and two zeros fit.
        i64::try_from(cents).unwrap_or(i64::MAX)
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self < Money::ZERO
    }

    /// So many times the amount; `None` when that is no amount of money.
    pub fn times(self, quantity: i64) -> Option<Money> {
        Money::new(self.0.checked_mul(quantity.into())?).ok()
    }

    /// The sum of amounts; `None` when that is no amount of money.
    pub fn total(amounts: impl IntoIterator<Item = Money>) -> Option<Money> {
        // 28 digits hold the sum of as many amounts as fit in memory.
        let sum = amounts.into_iter().try_fold(Decimal::ZERO, |sum, amount| sum.checked_add(amount.0))?;
        Money::new(sum).ok()
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    /// Parses a decimal number, with or without an exponent.
    fn from_str(text: &str) -> Result<Money, MoneyError> {
        let not_money = || MoneyError { text: text.to_owned() };
        let amount =
            Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).map_err(|_| not_money())?;
        Money::new(amount).map_err(|_| not_money())
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Both are exact below 10^15, so that the quotient is the double nearest to the amount, and its shortest decimal
        // form the amount itself.
        let mantissa = self.0.mantissa() as i64;
        match self.0.scale() {
            0 => serializer.serialize_i64(mantissa),
            scale => serializer.serialize_f64(mantissa as f64 / 10_f64.powi(scale as i32)),
        }
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Box::<RawValue>::deserialize(deserializer)?;
        number.get().parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn twice_29_99_is_59_98() {
        let total = money("29.99").times(2).unwrap();
        assert_eq!(total, money("59.98"));
        assert_eq!(serde_json::to_string(&total).unwrap(), "59.98");
        assert_eq!(total.cents(), 5998);
    }

    #[test]
    fn a_tenth_three_times_is_three_tenths() {
        assert_eq!(Money::total([money("0.1"); 3]), Some(money("0.3")));
        assert_eq!(Money::total([]), Some(Money::ZERO));
    }

    #[test]
    fn zeros_behind_the_point_are_no_digits_of_an_amount() {
        assert_eq!(money("10.00"), money("10"));
        assert_eq!(serde_json::to_string(&money("10.000")).unwrap(), "10");
        assert_eq!(money("1e2"), money("100"));
        assert_eq!(money("-0.50").cents(), -50);
    }

    #[test]
    fn more_than_two_decimals_or_15_digits_are_refused() {
        for text in ["0.001", "29.990000000000001", "1e-3", "10000000000000.01", "1000000000000000", "1e30", "1e-30"] {
            assert!(text.parse::<Money>().is_err(), "{text}");
            assert!(serde_json::from_str::<Money>(text).is_err(), "{text}");
        }
        for text in ["9999999999999.99", "999999999999999", "-9999999999999.99"] {
            assert_eq!(serde_json::to_string(&money(text)).unwrap(), text);
        }
        assert_eq!(money("999999999999999").times(2), None);
        assert_eq!(Money::total([money("9999999999999.99"), money("0.01")]), Some(money("10000000000000")));
        assert_eq!(Money::total([money("10000000000000"), money("0.01")]), None);
    }

    #[test]
    fn what_is_no_number_is_no_money() {
        for text in ["\"10\"", "null", "true", "[]", "", "NaN"] {
            assert!(serde_json::from_str::<Money>(text).is_err(), "{text}");
        }
        assert!("ten".parse::<Money>().is_err());
    }

    proptest! {
        #[test]
        fn every_amount_survives_the_way_through_json_and_a_binary_double(cents in -999_999_999_999_999_i64..=999_999_999_999_999) {
            let amount = Money::from_cents(cents).unwrap();
            prop_assert_eq!(amount.cents(), cents);
            let json = serde_json::to_string(&amount).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), amount);
            let double: f64 = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(double.to_string(), amount.to_string());
        }
    }
}
