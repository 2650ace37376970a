//! Kubernetes resource quantities (`250m`, `1Gi`, `5e3`) as exact numbers. Rule: `apimachinery/pkg/api/resource`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// An amount in thousand-millionths, the finest step that Kubernetes keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Amount(i128);

const NANO: i128 = 1_000_000_000;

impl Amount {
    /// Reads a quantity; `None` if it isn't one.
    pub(super) fn parse(quantity: &Quantity) -> Option<Self> {
        let text = quantity.0.trim();
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 24 {
            return None;
        }
        let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
        let (factor, mut exponent) = scale(suffix)?;
        exponent += 9 - i32::try_from(fraction.len()).ok()?;
        let scaled = digits.checked_mul(factor)?;
        let amount = if exponent >= 0 {
            scaled.checked_mul(10_i128.checked_pow(exponent.unsigned_abs())?)?
        } else {
            div_ceil(scaled, 10_i128.checked_pow(exponent.unsigned_abs())?)
        };
        Some(Self(if negative { -amount } else { amount }))
    }

    /// In whole units, rounded up.
    pub(super) fn units(self) -> i128 {
        div_ceil(self.0, NANO)
    }

    /// In thousandths, rounded up.
    pub(super) fn millis(self) -> i128 {
        div_ceil(self.0, NANO / 1000)
    }

    pub(super) fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// `a / b` rounded up; `b` is positive.
pub(super) fn div_ceil(a: i128, b: i128) -> i128 {
    a.div_euclid(b) + i128::from(a.rem_euclid(b) != 0)
}

/// A suffix as a factor and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    let binary = |shift: u32| Some((1_i128 << shift, 0));
    match suffix {
        "n" => Some((1, -9)),
        "u" => Some((1, -6)),
        "m" => Some((1, -3)),
        "" => Some((1, 0)),
        "k" => Some((1, 3)),
        "M" => Some((1, 6)),
        "G" => Some((1, 9)),
        "T" => Some((1, 12)),
        "P" => Some((1, 15)),
        "E" => Some((1, 18)),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (-18..=18).contains(&exponent).then_some((1, exponent))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, units, millis) in [
            ("0", 0, 0),
            ("1", 1, 1000),
            ("250m", 1, 250),
            ("1.5", 2, 1500),
            (".5", 1, 500),
            ("100u", 1, 1),
            ("1n", 1, 1),
            ("0.1n", 1, 1),
            ("1Ki", 1024, 1_024_000),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
            ("2M", 2_000_000, 2_000_000_000),
            ("5e3", 5000, 5_000_000),
            ("5E-1", 1, 500),
            ("1E", 1_000_000_000_000_000_000, 1_000_000_000_000_000_000_000),
            ("-1.5", -1, -1500),
        ] {
            let amount = Amount::parse(&Quantity(text.to_owned())).unwrap();
            assert_eq!((amount.units(), amount.millis()), (units, millis), "{text}");
        }
        for text in ["", "x", "1x", "1.2.3", "Mi", "e3", "1e99", "1 Gi", "99999999999999999999999999999"] {
            assert_eq!(Amount::parse(&Quantity(text.to_owned())), None, "{text}");
        }
    }
}
