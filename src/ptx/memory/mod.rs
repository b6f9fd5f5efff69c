//! Device memory: separate allocations, far apart, each with its length, its label and a bit per byte that was written.
//!
//! A device address is `(allocation + 1) << 40 | 1 << 39` plus the offset, so an address always says which allocation it came
//! from, even when it is outside of it by up to half a terabyte on either side.

mod bits;
mod view;

pub(crate) use bits::BitSet;
pub(crate) use view::{AccessError, Conflict, Pages, View, conflict};

use super::program::Variable;
use std::collections::BTreeMap;
use std::sync::Arc;

const INDEX_SHIFT: u32 = 40;
const CENTRE: u64 = 1 << 39;
/// Alignment of allocations, as `cudaMalloc` gives it.
const BASE_ALIGN: usize = 256;

/// A 64-bit device address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevPtr(u64);

impl DevPtr {
    /// The null pointer, which belongs to no allocation.
    pub const NULL: DevPtr = DevPtr(0);

    pub(crate) fn from_addr(addr: u64) -> DevPtr {
        DevPtr(addr)
    }

    /// The address as a kernel sees it.
    pub fn addr(self) -> u64 {
        self.0
    }

    /// The address `bytes` further.
    pub fn offset(self, bytes: i64) -> DevPtr {
        DevPtr(self.0.wrapping_add_signed(bytes))
    }
}

/// One allocation.
#[derive(Debug)]
pub(crate) struct Alloc {
    pub label: String,
    pub data: Vec<u8>,
    pub written: BitSet,
    /// Bytes that the first byte is past a 256-byte boundary.
    pub skew: usize,
    pub read_only: bool,
}

/// Device memory. Contents are uninitialised until the host or a kernel writes them.
#[derive(Debug, Default)]
pub struct Memory {
    pub(crate) allocs: Vec<Alloc>,
    /// Module variables, by module and variable: they live as long as the memory, as in a loaded module.
    variables: BTreeMap<(u64, usize), DevPtr>,
}

impl Memory {
    /// An empty device memory.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Allocates `bytes` uninitialised bytes at a 256-byte boundary. The label names the allocation in faults.
    pub fn alloc(&mut self, bytes: usize, label: &str) -> DevPtr {
        self.alloc_at_offset(bytes, label, 0)
    }

    /// Allocates and fills.
    pub fn alloc_from(&mut self, contents: &[u8], label: &str) -> DevPtr {
        let ptr = self.alloc(contents.len(), label);
        self.write(ptr, contents);
        ptr
    }

    /// Allocates `bytes` uninitialised bytes that begin `skew` bytes past a 256-byte boundary, to try a kernel on misaligned pointers.
    pub fn alloc_at_offset(&mut self, bytes: usize, label: &str, skew: usize) -> DevPtr {
        let ptr = DevPtr(((self.allocs.len() as u64 + 1) << INDEX_SHIFT) + CENTRE + (skew % BASE_ALIGN) as u64);
        self.allocs.push(Alloc {
            label: label.to_string(),
            data: vec![0; bytes],
            written: BitSet::new(bytes, false),
            skew: skew % BASE_ALIGN,
            read_only: false,
        });
        ptr
    }

    /// The bytes from `ptr` to the end of its allocation. Bytes never written read as zero; ask
    /// [`first_unwritten`](Memory::first_unwritten) before trusting them.
    ///
    /// # Panics
    /// If `ptr` points outside every allocation: that is a bug of the caller, not of a kernel.
    pub fn read(&self, ptr: DevPtr) -> &[u8] {
        let (index, offset) = self.place(ptr);
        &self.allocs[index].data[offset..]
    }

    /// The offset from `ptr` of the first byte of the `bytes` from it that nothing ever wrote.
    ///
    /// # Panics
    /// If the range leaves its allocation.
    pub fn first_unwritten(&self, ptr: DevPtr, bytes: usize) -> Option<usize> {
        let (index, offset) = self.place(ptr);
        let alloc = &self.allocs[index];
        assert!(offset + bytes <= alloc.data.len(), "range leaves allocation `{}`", alloc.label);
        alloc.written.first_clear(offset, bytes).map(|at| at - offset)
    }

    /// Copies from the host.
    ///
    /// # Panics
    /// If the range leaves its allocation.
    pub fn write(&mut self, ptr: DevPtr, contents: &[u8]) {
        let (index, offset) = self.place(ptr);
        let alloc = &mut self.allocs[index];
        alloc.data[offset..offset + contents.len()].copy_from_slice(contents);
        alloc.written.set_range(offset, contents.len());
        alloc.written.refresh();
    }

    /// Forgets the contents of the allocation of `ptr`: all its bytes count as never written again.
    ///
    /// # Panics
    /// If `ptr` points outside every allocation.
    pub fn forget(&mut self, ptr: DevPtr) {
        let (index, _) = self.place(ptr);
        self.allocs[index].written.clear();
    }

    fn place(&self, ptr: DevPtr) -> (usize, usize) {
        match self.resolve(ptr.0) {
            Some((index, offset)) if offset >= 0 && offset as usize <= self.allocs[index].data.len() => {
                (index, offset as usize)
            }
            _ => panic!("device address {:#x} belongs to no allocation", ptr.0),
        }
    }

    /// The allocation an address belongs to, and its offset there, which may lie outside.
    pub(crate) fn resolve(&self, addr: u64) -> Option<(usize, i64)> {
        let index = (addr >> INDEX_SHIFT).checked_sub(1)? as usize;
        let alloc = self.allocs.get(index)?;
        Some((index, (addr & ((1 << INDEX_SHIFT) - 1)) as i64 - CENTRE as i64 - alloc.skew as i64))
    }

    pub(crate) fn variable(&self, module: u64, index: usize) -> Option<DevPtr> {
        self.variables.get(&(module, index)).copied()
    }

    /// The addresses of a module's variables, which are created with their initial contents when first asked for.
    pub(crate) fn load_variables(&mut self, module: u64, variables: &Arc<[Variable]>) -> Vec<u64> {
        let fresh: Vec<usize> = (0..variables.len()).filter(|&i| !self.variables.contains_key(&(module, i))).collect();
        for &i in &fresh {
            let ptr = self.alloc_from(&variables[i].bytes, &variables[i].name);
            self.variables.insert((module, i), ptr);
        }
        let addresses: Vec<u64> = (0..variables.len()).map(|i| self.variables[&(module, i)].0).collect();
        for &i in &fresh {
            let ptr = DevPtr(addresses[i]);
            for &(at, target, addend) in &variables[i].relocations {
                self.write(ptr.offset(at as i64), &addresses[target].wrapping_add_signed(addend).to_le_bytes());
            }
            let (index, _) = self.place(ptr);
            self.allocs[index].read_only = variables[i].space == super::ast::Space::Const;
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_say_where_they_come_from() {
        let mut mem = Memory::new();
        let a = mem.alloc(16, "a");
        let b = mem.alloc_at_offset(16, "b", 3);
        assert_eq!(b.addr() % 256, 3);
        assert_eq!(mem.resolve(a.offset(-4).addr()), Some((0, -4)));
        assert_eq!(mem.resolve(b.offset(1 << 30).addr()), Some((1, 1 << 30)));
        assert_eq!(mem.resolve(0), None);
    }

    #[test]
    fn remembers_what_was_written() {
        let mut mem = Memory::new();
        let a = mem.alloc(100, "a");
        mem.write(a.offset(10), &[1; 20]);
        assert_eq!(mem.first_unwritten(a.offset(10), 20), None);
        assert_eq!(mem.first_unwritten(a.offset(10), 21), Some(20));
        mem.write(a, &[0; 100]);
        assert_eq!(mem.first_unwritten(a, 100), None);
        mem.forget(a);
        assert_eq!(mem.first_unwritten(a, 100), Some(0));
    }

    #[test]
    fn a_view_keeps_its_writes_until_it_is_applied() {
        let mut mem = Memory::new();
        let a = mem.alloc_from(&[7; 10_000], "a");
        let mut view = View::new(&mem, true);
        let (alloc, at) = view.locate(a.offset(4090).addr(), 12, 1).unwrap();
        view.write(alloc, at, &[9; 12], Some(0)).unwrap();
        let mut seen = [0; 14];
        view.read(alloc, at - 1, &mut seen);
        assert_eq!(seen, [7, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 7]);
        assert!(matches!(view.write(alloc, at + 11, &[9], Some(5)), Err(Conflict { first: 0, second: 5, .. })));
        let pages = view.into_pages();
        assert_eq!(mem.read(a)[4090], 7);
        mem.apply(pages);
        assert_eq!(&mem.read(a)[4089..4103], &seen);
    }

    #[test]
    fn an_access_is_checked_for_place_and_alignment() {
        let mut mem = Memory::new();
        let a = mem.alloc(16, "a");
        let view = View::new(&mem, false);
        assert!(view.locate(a.addr() + 12, 4, 4).is_ok());
        assert_eq!(view.locate(a.addr() + 13, 4, 1), Err(AccessError::OutOfBounds { alloc: 0, offset: 13 }));
        assert_eq!(view.locate(a.addr() - 1, 1, 1), Err(AccessError::OutOfBounds { alloc: 0, offset: -1 }));
        assert_eq!(view.locate(a.addr() + 2, 4, 4), Err(AccessError::Misaligned { alloc: 0, offset: 2 }));
        assert_eq!(view.locate(64, 4, 4), Err(AccessError::Unmapped));
    }
}
