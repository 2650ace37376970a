//! Prometheus' own text format, for what reads nothing newer: node-exporter's textfile collector refuses a file with `OpenMetrics` in it.
//!
//! Pure. Rules: Prometheus' "Exposition formats", version 0.0.4. There a counter is called `x_total` also where its kind and meaning are
//! said, an info is a gauge, and the text has no end mark.

/// The media type of [`classic`]'s text.
pub const CLASSIC_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The same metrics.
pub(super) fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest;
            continue;
        }
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            if !line.starts_with('#') {
                text.extend([line, "\n"]);
            }
            continue;
        };
        let (ending, kind) = match kind {
            "counter" => ("_total", kind),
            "info" => ("_info", "gauge"),
            _ => ("", kind),
        };
        let about = help.split_once(' ').filter(|(of, _)| *of == name).map_or("", |(_, about)| about);
        text.extend(["# HELP ", name, ending, " ", about, "\n# TYPE ", name, ending, " ", kind, "\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_infos_are_named_as_the_older_format_has_them() {
        let text = "# HELP d_build The build.\n# TYPE d_build info\nd_build_info{version=\"1\"} 1\n\
                    # HELP d_calls Calls.\n# TYPE d_calls counter\nd_calls_total{m=\"a b\"} 3\n\
                    # HELP d_up Up.\n# TYPE d_up gauge\nd_up 1\n# EOF\n";
        assert_eq!(
            classic(text),
            "# HELP d_build_info The build.\n# TYPE d_build_info gauge\nd_build_info{version=\"1\"} 1\n\
             # HELP d_calls_total Calls.\n# TYPE d_calls_total counter\nd_calls_total{m=\"a b\"} 3\n\
             # HELP d_up Up.\n# TYPE d_up gauge\nd_up 1\n"
        );
    }
}
