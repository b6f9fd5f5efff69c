//! A bit per byte: which bytes of an allocation have ever been written.

/// A fixed-length set of bits.
#[derive(Debug, Clone)]
pub(crate) struct BitSet {
    words: Vec<u64>,
    len: usize,
    /// All bits are set: the common case of a host-filled input, answered without a look at the words.
    full: bool,
}

impl BitSet {
    pub(crate) fn new(len: usize, value: bool) -> BitSet {
        BitSet { words: vec![if value { !0 } else { 0 }; len.div_ceil(64)], len, full: value || len == 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
        self.full = self.len == 0;
    }

    pub(crate) fn get(&self, i: usize) -> bool {
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    pub(crate) fn set_range(&mut self, start: usize, len: usize) {
        if self.full {
            return;
        }
        for (word, mask) in masks(start, len) {
            self.words[word] |= mask;
        }
    }

    /// The first clear bit of a range.
    pub(crate) fn first_clear(&self, start: usize, len: usize) -> Option<usize> {
        if self.full {
            return None;
        }
        masks(start, len).find_map(|(word, mask)| {
            let missing = !self.words[word] & mask;
            (missing != 0).then(|| word * 64 + missing.trailing_zeros() as usize)
        })
    }

    /// Sets the bits of `mask` in word `word`, which holds bits `64 * word` onward.
    pub(crate) fn or_word(&mut self, word: usize, mask: u64) {
        if let Some(w) = self.words.get_mut(word) {
            *w |= mask;
        }
    }

    /// Notes when every bit has become set.
    pub(crate) fn refresh(&mut self) {
        self.full = self.full || masks(0, self.len).all(|(word, mask)| self.words[word] & mask == mask);
    }
}

/// The words that a bit range touches, each with the mask of its bits.
pub(crate) fn masks(start: usize, len: usize) -> impl Iterator<Item = (usize, u64)> {
    let end = start + len;
    let mut at = start;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (word, low) = (at / 64, at % 64);
        let take = (64 - low).min(end - at);
        at += take;
        Some((word, (!0u64 >> (64 - take)) << low))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_gap_across_words() {
        let mut set = BitSet::new(200, false);
        set.set_range(10, 140);
        assert_eq!(set.first_clear(10, 140), None);
        assert_eq!(set.first_clear(9, 2), Some(9));
        assert_eq!(set.first_clear(100, 60), Some(150));
        assert!(set.get(149) && !set.get(150));
    }

    #[test]
    fn knows_when_it_is_full() {
        let mut set = BitSet::new(70, false);
        set.set_range(0, 70);
        set.refresh();
        assert_eq!(set.first_clear(0, 70), None);
        set.clear();
        assert_eq!(set.first_clear(5, 1), Some(5));
    }
}
