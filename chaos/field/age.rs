//! How old dispatches are when they are handed to the socket: the histogram of all nodes together.

use crate::operator::Operator;

const BUCKET: &str = "ampora_dispatch_envelope_age_seconds_bucket{le=\"";

/// Upper bounds in seconds, and how many were not older.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ages(Vec<(f64, f64)>);

impl Ages {
    /// Of these nodes, until now.
    pub(crate) async fn until_now(operator: &Operator, slots: &[u64]) -> Self {
        let mut all = Self::default();
        for slot in slots {
            all.add(&operator.metrics(*slot).await);
        }
        all
    }

    fn add(&mut self, text: &str) {
        let lines = text.lines().filter_map(|line| line.strip_prefix(BUCKET));
        for line in lines {
            let Some((bound, count)) = line.split_once("\"} ") else {
                continue;
            };
            // `+Inf` is a number to this parser too
            let (Ok(bound), Ok(count)) = (bound.parse::<f64>(), count.parse::<f64>()) else {
                continue;
            };
            match self.0.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, sum)) => *sum += count,
                None => self.0.push((bound, count)),
            }
        }
    }

    /// What came since then.
    pub(crate) fn since(&self, then: &Self) -> Self {
        let before = |bound: f64| {
            let same = then.0.iter().find(|(known, _)| *known == bound);
            same.map_or(0.0, |(_, count)| *count)
        };
        let counts = self
            .0
            .iter()
            .map(|(bound, count)| (*bound, count - before(*bound)));
        Self(counts.collect())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// Milliseconds that this share does not exceed, straight between the bounds of a bucket.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let wanted = self.count() * share;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= wanted && *count > below {
                let part = (wanted - below) / (count - below);
                let high = if bound.is_finite() { *bound } else { low };
                return 1000.0 * (low + (high - low) * part);
            }
            (low, below) = (*bound, *count);
        }
        f64::NAN
    }
}

#[test]
fn quantiles_lie_between_the_bounds_of_their_buckets() {
    let mut ages = Ages::default();
    let text = format!("{BUCKET}0.01\"}} 50\n{BUCKET}0.1\"}} 100\n{BUCKET}+Inf\"}} 100\n");
    ages.add(&text);
    assert_eq!(ages.count(), 100.0);
    assert!((ages.quantile_ms(0.5) - 10.0).abs() < 1e-9);
    assert!((ages.quantile_ms(0.75) - 55.0).abs() < 1e-9);
    assert_eq!(ages.since(&ages.clone()).count(), 0.0);
}
