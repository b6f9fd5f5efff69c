//! Which samples calibrate and which are held out to measure on.

use clap::ValueEnum;

/// How samples are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitBy {
    /// By a hash of the sample's name: a sample stays on its side when others come or go
    Hash,
    /// By place, spread evenly: exactly the share asked for
    Index,
}

/// Whether sample `index`, called `name`, is one of the share (0 to 1) that is held out.
pub(super) fn held_out(by: SplitBy, share: f64, seed: u64, index: usize, name: &str) -> bool {
    match by {
        SplitBy::Index => {
            // The held-out samples stand in the middle of their stretch, so that neither side takes the first.
            let before = |i: usize| (i as f64 * share + 0.5).floor();
            before(index + 1) > before(index)
        }
        SplitBy::Hash => {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
            let mut first = [0; 8];
            first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
            ((u64::from_le_bytes(first) >> 11) as f64) < share * (1u64 << 53) as f64
        }
    }
}
