//! `resource.Quantity`: exact amounts with decimal (`500m`, `2G`) and binary (`64Mi`) suffixes.
//!
//! No floating point anywhere. An amount is held in billionths, the finest step Kubernetes knows; what is finer is rounded
//! away from zero, what is larger than 2^63-1 is capped. Rule: `apimachinery/pkg/api/resource/quantity.go`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use thiserror::Error;

const NANO: i128 = 1_000_000_000;
const MAX: i128 = i64::MAX as i128 * NANO;

/// An amount of a resource.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

/// The family of suffixes an amount is written with; it is shown in the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    DecimalExponent,
    DecimalSi,
    BinarySi,
}

/// A text that is no quantity. The words are Kubernetes' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// Not of the form number and suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number is none.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// No such suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Quantity = Quantity { nano: 0, format: Format::DecimalSi };

    /// A whole number of units (bytes, cores, pieces).
    pub const fn from_value(value: i64) -> Self {
        Quantity { nano: value as i128 * NANO, format: Format::DecimalSi }
    }

    /// The amount in whole units, rounded away from zero.
    pub fn value(self) -> i64 {
        self.in_steps_of(NANO)
    }

    /// The amount in thousandths, rounded away from zero.
    pub fn milli_value(self) -> i64 {
        self.in_steps_of(NANO / 1000)
    }

    /// Whether it is a whole number of units.
    pub const fn is_whole(self) -> bool {
        self.nano % NANO == 0
    }

    /// Whether it is a whole number of thousandths.
    pub const fn is_whole_milli(self) -> bool {
        self.nano % (NANO / 1000) == 0
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.nano < 0
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.nano == 0
    }

    /// The same amount, shown with the suffixes that another one was written with.
    #[must_use]
    pub const fn in_family_of(self, other: Self) -> Self {
        Quantity { nano: self.nano, format: other.format }
    }

    /// The same amount rounded away from zero to thousandths, which is what the API server stores of a resource.
    #[must_use]
    pub fn rounded_to_milli(self) -> Self {
        let step = NANO / 1000;
        Quantity { nano: rounded_up(self.nano, step) * step, ..self }
    }

    fn in_steps_of(self, step: i128) -> i64 {
        let steps = rounded_up(self.nano, step);
        i64::try_from(steps).unwrap_or(if steps < 0 { i64::MIN } else { i64::MAX })
    }
}

fn rounded_up(amount: i128, step: i128) -> i128 {
    amount / step + (amount % step).signum()
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl TryFrom<&ApiQuantity> for Quantity {
    type Error = QuantityError;

    fn try_from(quantity: &ApiQuantity) -> Result<Self, QuantityError> {
        quantity.0.parse()
    }
}

impl From<Quantity> for ApiQuantity {
    fn from(quantity: Quantity) -> Self {
        ApiQuantity(quantity.to_string())
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            None => return Err(QuantityError::Format),
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
        };
        let (whole, rest) = digits(unsigned);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => digits(rest),
            None => ("", rest),
        };
        if !suffix_fits(suffix) {
            return Err(QuantityError::Format);
        }
        let (base, exponent, format) = scale(suffix).ok_or(QuantityError::Suffix)?;
        if whole.is_empty() && fraction.is_empty() {
            // As Kubernetes has it, a bare sign or nothing at all before a suffix is no number.
            return Err(if suffix.is_empty() { QuantityError::Format } else { QuantityError::Number });
        }
        let magnitude = magnitude(whole, fraction, base, exponent);
        let nano = if negative { -magnitude } else { magnitude };
        Ok(Quantity { nano, format })
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// `[eEinumkKMGTP]*[-+]?[0-9]*`
fn suffix_fits(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    rest.bytes().all(|b| b.is_ascii_digit())
}

fn scale(suffix: &str) -> Option<(u32, i32, Format)> {
    let decimal = |exponent| Some((10, exponent, Format::DecimalSi));
    let binary = |exponent| Some((2, exponent, Format::BinarySi));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            Some((10, exponent, Format::DecimalExponent))
        }
    }
}

/// The amount in billionths, rounded up and capped. Every digit is looked at, however many there are.
fn magnitude(whole: &str, fraction: &str, base: u32, exponent: i32) -> i128 {
    let multiplier = if base == 2 { 1_i128 << exponent.clamp(0, 60) } else { 1 };
    let decimals = if base == 10 { i64::from(exponent) } else { 0 };
    // The place, as a power of ten of a billionth, of the first digit.
    let mut place = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_sub(1) + decimals + 9;
    let mut nano: i128 = 0;
    let mut below: i128 = 0; // billionths of a billionth, for digits that a binary multiplier lifts
    let mut dust = false;
    for digit in whole.bytes().chain(fraction.bytes()).map(|b| i128::from(b - b'0')) {
        if digit != 0 {
            match u32::try_from(place) {
                Ok(up) if up > 29 => return MAX,
                Ok(up) => nano += digit * 10_i128.pow(up),
                Err(_) if place >= -9 => {
                    below += digit * 10_i128.pow(u32::try_from(place + 9).unwrap_or(0));
                }
                Err(_) => dust = true,
            }
        }
        place -= 1;
    }
    let lifted = below.saturating_mul(multiplier);
    let nano = nano.saturating_mul(multiplier).saturating_add(lifted / NANO);
    let up = i128::from(lifted % NANO != 0 || dust);
    nano.saturating_add(up).min(MAX)
}

/// The canonical form: no fraction, the largest suffix that loses nothing, in the family it was written with.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        let binary =
            self.format == Format::BinarySi && self.nano % NANO == 0 && self.nano.abs() >= 1024 * NANO;
        if binary {
            let mut amount = self.nano / NANO;
            let mut power = 0;
            while amount % 1024 == 0 && power < BINARY.len() - 1 {
                amount /= 1024;
                power += 1;
            }
            return write!(f, "{amount}{}", BINARY[power]);
        }
        let mut amount = self.nano;
        let mut power = 0;
        while amount % 1000 == 0 && power < DECIMAL.len() - 1 {
            amount /= 1000;
            power += 1;
        }
        let (suffix, exponent) = DECIMAL[power];
        if self.format == Format::DecimalExponent && exponent != 0 {
            write!(f, "{amount}e{exponent}")
        } else {
            write!(f, "{amount}{suffix}")
        }
    }
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn amounts_are_exact_and_rounded_up() {
        for (text, milli, value, canonical) in [
            ("0", 0, 0, "0"),
            ("1", 1000, 1, "1"),
            ("0.5", 500, 1, "500m"),
            ("500m", 500, 1, "500m"),
            ("0.1m", 1, 1, "100u"),
            ("1n", 1, 1, "1n"),
            ("0.1n", 1, 1, "1n"),
            ("1.5Gi", 1_610_612_736_000, 1_610_612_736, "1536Mi"),
            ("64Mi", 67_108_864_000, 67_108_864, "64Mi"),
            ("1000Ki", 1_024_000_000, 1_024_000, "1000Ki"),
            ("2G", 2_000_000_000_000, 2_000_000_000, "2G"),
            ("12e6", 12_000_000_000, 12_000_000, "12e6"),
            ("1e-3", 1, 1, "1e-3"),
            ("1E", i64::MAX, 1_000_000_000_000_000_000, "1E"),
            ("-1.5", -1500, -2, "-1500m"),
            ("+2", 2000, 2, "2"),
            (".5", 500, 1, "500m"),
            ("5.", 5000, 5, "5"),
            ("1.G", 1_000_000_000_000, 1_000_000_000, "1G"),
            ("0001", 1000, 1, "1"),
            ("1024", 1_024_000, 1024, "1024"),
            ("0.5Ki", 512_000, 512, "512"),
            ("0.1Ki", 102_400, 103, "102400m"),
            ("1500", 1_500_000, 1500, "1500"),
        ] {
            let parsed = quantity(text);
            assert_eq!(
                (parsed.milli_value(), parsed.value(), parsed.to_string().as_str()),
                (milli, value, canonical),
                "{text}"
            );
        }
        assert_eq!(quantity("99999999999999999999").value(), i64::MAX);
        assert_eq!(quantity("-9999Ei").value(), -i64::MAX);
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, error) in [
            ("", QuantityError::Format),
            ("1 Gi", QuantityError::Format),
            ("1Gib", QuantityError::Format),
            ("1.2.3", QuantityError::Format),
            ("abc", QuantityError::Format),
            ("--1", QuantityError::Suffix),
            ("-", QuantityError::Format),
            ("1K", QuantityError::Suffix),
            ("1mm", QuantityError::Suffix),
            ("1ki", QuantityError::Suffix),
            ("1e", QuantityError::Suffix),
            ("Gi", QuantityError::Number),
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_the_same_amount(number in "-?[0-9]{1,12}(\\.[0-9]{0,12})?", suffix in
            prop::sample::select(vec!["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti", "e3", "e-2"]))
        {
            let first = quantity(&format!("{number}{suffix}"));
            let again = quantity(&first.to_string());
            prop_assert_eq!(first, again);
            // What is written without a suffix is read as decimal: 62.5Ki is written 64000, and 64000 is 64k.
            prop_assert_eq!(quantity(&again.to_string()).to_string(), again.to_string());
        }

        #[test]
        fn order_agrees_with_whole_numbers(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000) {
            prop_assert_eq!(quantity(&a.to_string()).cmp(&quantity(&b.to_string())), a.cmp(&b));
            prop_assert_eq!(quantity(&format!("{a}m")).milli_value(), a);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9.eEinumkKMGTP]{0,60}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
