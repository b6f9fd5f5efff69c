//! Which kernels and nodes wait for which, while kernels are still being put together: the guard against cycles.
//!
//! Every unit (a kernel, or a node that stays a node) has a height above all that wait for it. A search for a path needs only
//! look at the units between two heights, which keeps the check near-linear on deep models.

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Dependence {
    readers: Vec<Vec<u32>>,
    writers: Vec<Vec<u32>>,
    height: Vec<u32>,
    merged_into: Vec<u32>,
    seen: Vec<u32>,
    search: u32,
}

impl Dependence {
    /// A new unit that nothing waits for.
    pub fn add(&mut self) -> u32 {
        let unit = self.height.len() as u32;
        self.readers.push(Vec::new());
        self.writers.push(Vec::new());
        self.height.push(0);
        self.merged_into.push(unit);
        self.seen.push(0);
        unit
    }

    /// The unit that `unit` has become part of.
    pub fn find(&self, mut unit: u32) -> u32 {
        while self.merged_into[unit as usize] != unit {
            unit = self.merged_into[unit as usize];
        }
        unit
    }

    /// Makes `reader` wait for `writer`. The caller has checked that `reader` does not reach `writer`.
    pub fn link(&mut self, writer: u32, reader: u32) {
        let (writer, reader) = (self.find(writer), self.find(reader));
        if writer == reader || self.readers[writer as usize].contains(&reader) {
            return;
        }
        self.readers[writer as usize].push(reader);
        self.writers[reader as usize].push(writer);
        self.raise(writer, self.height[reader as usize] + 1);
    }

    fn raise(&mut self, unit: u32, height: u32) {
        let mut todo = vec![(unit, height)];
        while let Some((unit, height)) = todo.pop() {
            let unit = self.find(unit);
            if self.height[unit as usize] < height {
                self.height[unit as usize] = height;
                todo.extend(self.writers[unit as usize].iter().map(|w| (*w, height + 1)));
            }
        }
    }

    /// Whether `to` waits for `from`, directly or through others; a unit reaches itself.
    pub fn reaches(&mut self, from: u32, to: u32) -> bool {
        let (from, to) = (self.find(from), self.find(to));
        self.search += 1;
        let mut todo = vec![from];
        while let Some(unit) = todo.pop() {
            if unit == to {
                return true;
            }
            let below = self.height[unit as usize] <= self.height[to as usize];
            if below || std::mem::replace(&mut self.seen[unit as usize], self.search) == self.search {
                continue;
            }
            todo.extend(self.readers[unit as usize].iter().map(|r| self.find(*r)));
        }
        false
    }

    /// Makes one unit of two that do not reach each other.
    pub fn merge(&mut self, keep: u32, gone: u32) {
        let (keep, gone) = (self.find(keep), self.find(gone));
        self.merged_into[gone as usize] = keep;
        let readers = std::mem::take(&mut self.readers[gone as usize]);
        let writers = std::mem::take(&mut self.writers[gone as usize]);
        self.readers[keep as usize].extend(readers);
        self.writers[keep as usize].extend(writers);
        let height = self.height[keep as usize].max(self.height[gone as usize]);
        // Raised by hand: the writers of both must clear the common height even where one unit already had it.
        self.height[keep as usize] = height;
        for writer in self.writers[keep as usize].clone() {
            self.raise(writer, height + 1);
        }
    }

    /// Every unit once, writers before readers; among those that are ready the one with the smallest key first.
    pub fn order(&self, key: impl Fn(u32) -> (u32, u32)) -> Vec<u32> {
        let units: Vec<u32> = (0..self.height.len() as u32).filter(|u| self.find(*u) == *u).collect();
        let readers = |unit: u32| {
            let mut readers: Vec<u32> = self.readers[unit as usize].iter().map(|r| self.find(*r)).collect();
            readers.sort_unstable();
            readers.dedup();
            readers
        };
        let mut waiting = vec![0u32; self.height.len()];
        units.iter().flat_map(|u| readers(*u)).for_each(|r| waiting[r as usize] += 1);
        let ready = |unit: u32| std::cmp::Reverse((key(unit), unit));
        let mut heap: std::collections::BinaryHeap<_> =
            units.iter().filter(|u| waiting[**u as usize] == 0).map(|u| ready(*u)).collect();
        let mut order = Vec::with_capacity(units.len());
        while let Some(std::cmp::Reverse((_, unit))) = heap.pop() {
            order.push(unit);
            for reader in readers(unit) {
                waiting[reader as usize] -= 1;
                if waiting[reader as usize] == 0 {
                    heap.push(ready(reader));
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_through_merged_units() {
        let mut d = Dependence::default();
        let [a, b, c, e] = std::array::from_fn(|_| d.add());
        d.link(a, b);
        d.link(c, e);
        assert!(d.reaches(a, b) && !d.reaches(b, a) && !d.reaches(a, e));
        d.merge(b, c);
        assert!(d.reaches(a, e) && !d.reaches(e, a));
        assert_eq!(d.order(|u| (u, 0)), [a, b, e]);
        let top = d.add();
        d.link(top, a);
        assert!(d.reaches(top, e));
    }
}
