//! What one run of consecutive blocks sees of device memory: the memory before the launch, under the pages it wrote itself.
//!
//! Views let blocks run on several cores on one shared, immutable memory. They are applied in block order afterwards, so the result does
//! not depend on the number of cores. Blocks that talk to each other through atomics share a single view instead.

use super::bits::masks;
use super::{Alloc, Memory};

const PAGE: usize = 4096;

/// A page that was written, with a bit per byte that was.
pub(crate) struct Page {
    data: Box<[u8; PAGE]>,
    dirty: [u64; PAGE / 64],
    /// The block that wrote each byte, plus one; only with the write-conflict check.
    writers: Option<Box<[u32]>>,
}

/// Why an access is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessError {
    Unmapped,
    OutOfBounds { alloc: usize, offset: i64 },
    Misaligned { alloc: usize, offset: i64 },
}

/// Two blocks wrote the same byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub alloc: usize,
    pub offset: usize,
    pub first: u32,
    pub second: u32,
}

/// The memory as a run of blocks sees it.
pub(crate) struct View<'m> {
    base: &'m Memory,
    pages: Vec<Vec<Option<Box<Page>>>>,
    track_writers: bool,
}

/// Written pages: allocation, page number, contents.
pub(crate) type Pages = Vec<(usize, usize, Box<Page>)>;

impl<'m> View<'m> {
    pub(crate) fn new(base: &'m Memory, track_writers: bool) -> View<'m> {
        View { base, pages: base.allocs.iter().map(|_| Vec::new()).collect(), track_writers }
    }

    pub(crate) fn alloc(&self, index: usize) -> &'m Alloc {
        &self.base.allocs[index]
    }

    /// The allocation and offset of an access, or why it is refused.
    pub(crate) fn locate(&self, addr: u64, size: usize, align: usize) -> Result<(usize, usize), AccessError> {
        let (alloc, offset) = self.base.resolve(addr).ok_or(AccessError::Unmapped)?;
        if offset < 0 || offset as u64 + size as u64 > self.base.allocs[alloc].data.len() as u64 {
            return Err(AccessError::OutOfBounds { alloc, offset });
        }
        if !addr.is_multiple_of(align as u64) {
            return Err(AccessError::Misaligned { alloc, offset });
        }
        Ok((alloc, offset as usize))
    }

    /// Copies out a range that [`locate`](View::locate) approved.
    pub(crate) fn read(&self, alloc: usize, offset: usize, out: &mut [u8]) {
        let base = &self.base.allocs[alloc].data;
        let pages = &self.pages[alloc];
        if pages.is_empty() {
            out.copy_from_slice(&base[offset..offset + out.len()]);
            return;
        }
        for (page, at, start, len) in split(offset, out.len()) {
            let from = match pages.get(page).and_then(Option::as_ref) {
                Some(p) => &p.data[at..at + len],
                None => &base[page * PAGE + at..page * PAGE + at + len],
            };
            out[start..start + len].copy_from_slice(from);
        }
    }

    /// The first byte of a range that nothing ever wrote.
    pub(crate) fn first_unwritten(&self, alloc: usize, offset: usize, len: usize) -> Option<usize> {
        let written = &self.base.allocs[alloc].written;
        written.first_clear(offset, len)?;
        (offset..offset + len).find(|&at| !written.get(at) && !self.is_dirty(alloc, at))
    }

    fn is_dirty(&self, alloc: usize, at: usize) -> bool {
        let page = self.pages[alloc].get(at / PAGE).and_then(Option::as_ref);
        page.is_some_and(|p| p.dirty[at % PAGE / 64] >> (at % 64) & 1 == 1)
    }

    /// Writes a range that [`locate`](View::locate) approved, on behalf of a block; without one, the write conflicts with nobody's.
    pub(crate) fn write(
        &mut self,
        alloc: usize,
        offset: usize,
        bytes: &[u8],
        block: Option<u32>,
    ) -> Result<(), Conflict> {
        let track = self.track_writers;
        for (page, at, start, len) in split(offset, bytes.len()) {
            let p = self.page(alloc, page, track);
            p.data[at..at + len].copy_from_slice(&bytes[start..start + len]);
            for (word, mask) in masks(at, len) {
                p.dirty[word] |= mask;
            }
            if let (Some(writers), Some(block)) = (&mut p.writers, block) {
                for (i, writer) in writers[at..at + len].iter_mut().enumerate() {
                    let before = std::mem::replace(writer, block + 1);
                    if before != 0 && before != block + 1 {
                        return Err(Conflict { alloc, offset: offset + start + i, first: before - 1, second: block });
                    }
                }
            }
        }
        Ok(())
    }

    fn page(&mut self, alloc: usize, page: usize, track: bool) -> &mut Page {
        let base = &self.base.allocs[alloc].data;
        let pages = &mut self.pages[alloc];
        if pages.is_empty() {
            pages.resize_with(base.len().div_ceil(PAGE), || None);
        }
        pages[page].get_or_insert_with(|| {
            let mut data = Box::new([0; PAGE]);
            let end = base.len().min((page + 1) * PAGE);
            data[..end - page * PAGE].copy_from_slice(&base[page * PAGE..end]);
            let writers = track.then(|| vec![0; PAGE].into_boxed_slice());
            Box::new(Page { data, dirty: [0; PAGE / 64], writers })
        })
    }

    /// The written pages, in order.
    pub(crate) fn into_pages(self) -> Pages {
        let mut out = Vec::new();
        for (alloc, pages) in self.pages.into_iter().enumerate() {
            out.extend(pages.into_iter().enumerate().filter_map(|(i, p)| Some((alloc, i, p?))));
        }
        out
    }
}

impl Memory {
    /// Takes over the pages that a view wrote.
    pub(crate) fn apply(&mut self, pages: Pages) {
        for (alloc, number, page) in pages {
            let target = &mut self.allocs[alloc];
            for (word, &mask) in page.dirty.iter().enumerate().filter(|(_, m)| **m != 0) {
                let start = number * PAGE + word * 64;
                let end = (start + 64).min(target.data.len());
                let from = &page.data[word * 64..word * 64 + (end - start)];
                if mask == !0 {
                    target.data[start..end].copy_from_slice(from);
                } else {
                    for (i, byte) in target.data[start..end].iter_mut().enumerate().filter(|(i, _)| mask >> i & 1 == 1)
                    {
                        *byte = from[i];
                    }
                }
                target.written.or_word(start / 64, mask);
            }
        }
        self.allocs.iter_mut().for_each(|alloc| alloc.written.refresh());
    }
}

/// The first byte that two views of one launch both wrote.
pub(crate) fn conflict(views: &[Pages]) -> Option<Conflict> {
    let mut seen: std::collections::BTreeMap<(usize, usize), Vec<&Page>> = std::collections::BTreeMap::new();
    for (alloc, number, page) in views.iter().flatten() {
        let earlier = seen.entry((*alloc, *number)).or_default();
        for other in earlier.iter() {
            for word in 0..PAGE / 64 {
                let both = page.dirty[word] & other.dirty[word];
                if both != 0 {
                    let at = word * 64 + both.trailing_zeros() as usize;
                    let block = |p: &Page| p.writers.as_ref().map_or(0, |w| w[at].saturating_sub(1));
                    return Some(Conflict {
                        alloc: *alloc,
                        offset: number * PAGE + at,
                        first: block(other),
                        second: block(page),
                    });
                }
            }
        }
        earlier.push(page);
    }
    None
}

/// Cuts a range at page borders: page, offset in the page, offset in the range, length.
fn split(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= len {
            return None;
        }
        let at = (offset + done) % PAGE;
        let take = (PAGE - at).min(len - done);
        let piece = ((offset + done) / PAGE, at, done, take);
        done += take;
        Some(piece)
    })
}
