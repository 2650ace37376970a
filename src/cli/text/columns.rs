//! Columns from tab-separated text, by Go's elastic tabstops: a column is as wide as its widest cell in *adjacent* lines.
//!
//! Rule: Go's `text/tabwriter`, as kubectl uses it; cells end with a tab, so what follows a line's last tab is not a cell.

/// Aligns text. Widths may be remembered from one text to the next, so that the rows of a watch stay aligned.
#[derive(Debug)]
pub(in crate::cli) struct TabWriter {
    min_width: usize,
    padding: usize,
    remembered: Option<Vec<usize>>,
}

impl TabWriter {
    /// As `kubectl get` lays out its tables.
    pub(in crate::cli) const fn for_tables() -> Self {
        Self { min_width: 6, padding: 3, remembered: Some(Vec::new()) }
    }

    /// As `kubectl describe` lays out its descriptions.
    pub(in crate::cli) const fn for_descriptions() -> Self {
        Self { min_width: 0, padding: 2, remembered: None }
    }

    /// The text with its tabs turned into columns.
    pub(in crate::cli) fn align(&mut self, text: &str) -> String {
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        let mut out = String::with_capacity(text.len() * 2);
        self.format(&lines, &mut Vec::new(), &mut out);
        out
    }

    /// Writes these lines, whose columns up to `widths.len()` are known.
    fn format(&mut self, lines: &[Vec<&str>], widths: &mut Vec<usize>, out: &mut String) {
        let column = widths.len();
        let has_cell = |line: &Vec<&str>| line.len() > column + 1;
        let mut rest = lines;
        while let Some(start) = rest.iter().position(has_cell) {
            let (before, block) = rest.split_at(start);
            write(before, widths, out);
            let end = block.iter().position(|line| !has_cell(line)).unwrap_or(block.len());
            let (block, after) = block.split_at(end);
            let widest = block.iter().map(|line| line[column].chars().count() + self.padding).max();
            let width = self.remember(column, widest.unwrap_or_default().max(self.min_width));
            widths.push(width);
            self.format(block, widths, out);
            widths.pop();
            rest = after;
        }
        write(rest, widths, out);
    }

    fn remember(&mut self, column: usize, width: usize) -> usize {
        let Some(remembered) = &mut self.remembered else { return width };
        if remembered.len() <= column {
            remembered.resize(column + 1, 0);
        }
        remembered[column] = remembered[column].max(width);
        remembered[column]
    }
}

fn write(lines: &[Vec<&str>], widths: &[usize], out: &mut String) {
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < line.len() {
                let width = widths.get(column).copied().unwrap_or_default();
                let blanks = width.saturating_sub(cell.chars().count());
                out.extend(std::iter::repeat_n(' ', blanks));
            }
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_laid_out_as_kubectl_does() {
        let text = TabWriter::for_tables().align("NAME\tREADY\tAGE\nfluentd-abc\t1/1\t5s\nx\t0/1\t10m\n");
        assert_eq!(
            text,
            "NAME          READY   AGE\n\
             fluentd-abc   1/1     5s\n\
             x             0/1     10m\n"
        );
    }

    #[test]
    fn a_column_reaches_only_over_adjacent_lines() {
        let text = TabWriter::for_descriptions().align("Name:\tx\nA long label:\ty\nContainers:\n  a:\tz\n");
        assert_eq!(text, "Name:          x\nA long label:  y\nContainers:\n  a:  z\n");
    }

    #[test]
    fn an_empty_cell_takes_its_columns_room() {
        let text = TabWriter::for_descriptions().align("a\t\tb\nlonger\t\tc\n\tx\n");
        assert_eq!(text, "a         b\nlonger    c\n        x\n");
    }

    #[test]
    fn the_rows_of_a_watch_stay_aligned_with_those_before() {
        let mut writer = TabWriter::for_tables();
        assert_eq!(writer.align("NAME\tAGE\na-long-name\t5s\n"), "NAME          AGE\na-long-name   5s\n");
        assert_eq!(writer.align("x\t6s\n"), "x             6s\n");
    }

    #[test]
    fn letters_are_counted_not_bytes() {
        assert_eq!(TabWriter::for_descriptions().align("ü\t1\nab\t2\n"), "ü   1\nab  2\n");
    }
}
