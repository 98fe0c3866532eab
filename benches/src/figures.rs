//! What was measured, and tables of it.

use std::time::Duration;

/// Measurements of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }
}

impl Samples {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn at(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(50)
    }

    /// The median, and the quartiles.
    pub(crate) fn shown(&self) -> String {
        if self.is_empty() {
            return "–".to_owned();
        }
        format!(
            "{} ({}–{})",
            number(self.median()),
            number(self.at(25)),
            number(self.at(75))
        )
    }

    /// The ratio of the medians, and between what 90 of 100 such ratios lie when the same runs are drawn again.
    pub(crate) fn over(&self, other: &Self) -> String {
        const DRAWN: usize = 1000;
        if self.is_empty() || other.is_empty() {
            return "–".to_owned();
        }
        let mut random = fastrand::Rng::with_seed(0);
        let drawn: Self = (0..DRAWN)
            .map(|_| self.drawn(&mut random).median() / other.drawn(&mut random).median())
            .collect();
        let ratio = self.median() / other.median();
        format!("{ratio:.3} ({:.2}–{:.2})", drawn.at(5), drawn.at(95))
    }

    /// As many of its own measurements, some of them more than once.
    fn drawn(&self, random: &mut fastrand::Rng) -> Self {
        (0..self.0.len())
            .map(|_| self.0[random.usize(..self.0.len())])
            .collect()
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    u32::try_from(bytes / 1024).map_or(f64::NAN, f64::from) * 1024.0 / 1e6
}

/// With three digits that say something.
pub(crate) fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A Markdown table whose columns stand below each other in plain text too.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head = head.iter().map(|&cell| cell.to_owned()).collect();
    let width = |column: usize| {
        let cells = rows
            .iter()
            .chain([&head])
            .filter_map(|row: &Vec<String>| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| match column {
                0 => format!(" {cell:<width$} |"),
                _ => format!(" {cell:>width$} |"),
            });
        format!("|{}\n", padded.collect::<String>())
    };
    let rule = widths.iter().enumerate().map(|(column, width)| match column {
        0 => format!(" {} |", "-".repeat(*width)),
        _ => format!(" {}: |", "-".repeat(*width - 1)),
    });
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("\n{}|{}\n{body}", line(&head), rule.collect::<String>())
}
