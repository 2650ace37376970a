//! Several errors in one line, as the kubelet tells of them.
//!
//! Pure. Rule: `NewAggregate` of `k8s.io/apimachinery/pkg/util/errors`.

/// The texts in their order, each once; in brackets if there are several.
pub fn aggregate(texts: Vec<String>) -> String {
    let mut once: Vec<String> = Vec::with_capacity(texts.len());
    for text in texts {
        if !once.contains(&text) {
            once.push(text);
        }
    }
    if once.len() > 1 { format!("[{}]", once.join(", ")) } else { once.pop().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_told_once_and_several_in_brackets() {
        for (texts, expected) in
            [(&[][..], ""), (&["a"][..], "a"), (&["a", "a"][..], "a"), (&["b", "a", "b"][..], "[b, a]")]
        {
            assert_eq!(aggregate(texts.iter().map(|text| (*text).to_owned()).collect()), expected);
        }
    }
}
