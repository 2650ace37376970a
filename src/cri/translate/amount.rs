//! Quantities as the whole numbers that cgroups take.
//!
//! A quantity that can't be read counts as nothing: validation has refused it long before a pod is made.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Thousandths, rounded up.
pub(super) fn milli(quantity: &Quantity) -> i128 {
    temporary(&quantity.0).unwrap_or(0)
}

/// Thousandths as whole units, rounded up.
pub(super) fn whole(milli: i128) -> i64 {
    let units = milli.div_euclid(1000) + i128::from(milli.rem_euclid(1000) != 0);
    i64::try_from(units).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX })
}

/// Whole units, rounded up.
pub(super) fn whole_of(quantity: &Quantity) -> i64 {
    whole(milli(quantity))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "to be replaced")]
fn temporary(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor: i128 = match suffix {
        "" => 1000,
        "m" => 1,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        _ => return None,
    };
    match number.parse::<i128>() {
        Ok(n) => Some(n * factor),
        Err(_) => Some((number.parse::<f64>().ok()? * factor as f64).ceil() as i128),
    }
}
