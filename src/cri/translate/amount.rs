//! Quantities as the whole numbers that cgroups take.
//!
//! A quantity that can't be read counts as nothing: validation has refused it long before a pod is made.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use crate::manifest::Quantity;

const MILLI: i128 = 1000;

/// Thousandths, rounded up.
pub(super) fn milli(quantity: &ApiQuantity) -> i128 {
    match Quantity::try_from(quantity) {
        Ok(amount) if amount.is_whole() => i128::from(amount.value()) * MILLI,
        Ok(amount) => amount.milli_value().into(),
        Err(_) => 0,
    }
}

/// Thousandths as whole units, rounded up.
pub(super) fn whole(milli: i128) -> i64 {
    let units = milli.div_euclid(MILLI) + i128::from(milli.rem_euclid(MILLI) != 0);
    i64::try_from(units).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX })
}

/// Whole units, rounded up.
pub(super) fn whole_of(quantity: &ApiQuantity) -> i64 {
    whole(milli(quantity))
}

/// Thousandths as a quantity.
pub(super) fn quantity(milli: i128) -> ApiQuantity {
    ApiQuantity(if milli % MILLI == 0 { (milli / MILLI).to_string() } else { format!("{milli}m") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_round_up_only_below_a_thousandth() {
        for (text, in_milli, in_whole) in [
            ("250m", 250, 1),
            ("1500m", 1500, 2),
            ("0.1", 100, 1),
            ("100u", 1, 1),
            ("64Mi", 67_108_864_000, 67_108_864),
            ("1e3", 1_000_000, 1000),
            ("9223372036854775807", 9_223_372_036_854_775_807_000, i64::MAX),
            ("nonsense", 0, 0),
        ] {
            let amount = ApiQuantity(text.to_owned());
            assert_eq!((milli(&amount), whole_of(&amount)), (in_milli, in_whole), "{text}");
        }
        assert_eq!((quantity(250).0.as_str(), quantity(2000).0.as_str()), ("250m", "2"));
    }
}
