//! The sizes at which a kernel is tried.

use super::Options;
use super::cut::{cut, smaller};
use crate::dim::Bindings;
use crate::emit::{self, Blocks, KernelSource};
use crate::plan::{Broadcast, Kernel};
use std::collections::BTreeSet;
use std::fmt;

/// A kernel at given sizes.
pub struct Case {
    /// The kernel with its outermost axis cut short where its own sizes are too many to execute; its text is the same.
    pub kernel: Kernel,
    /// Its text, with the parameters of the kernel as cut.
    pub source: KernelSource,
    pub sizes: Bindings,
    pub extents: Vec<u64>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.extents)
    }
}

/// Sizes for a symbol: the ends of vectors and blocks, and beyond.
const SIZES: [u64; 8] = [1, 2, 3, 5, 17, 37, 129, 1031];

/// The cases of a kernel, smallest first, none of more than about `samples` elements unless its smallest is larger.
pub fn cases(kernel: &Kernel, source: &KernelSource, options: &Options) -> Result<Vec<Case>, String> {
    let mut symbols = BTreeSet::new();
    kernel.domain.iter().for_each(|d| d.symbols(&mut symbols));
    let accesses = kernel.loads.iter().map(|l| &l.access).chain(kernel.stores.iter().map(|s| &s.access));
    for access in accesses {
        access.offset.symbols(&mut symbols);
        access.strides.iter().for_each(|d| d.symbols(&mut symbols));
    }
    if let Some(product) = &kernel.product {
        for (over, access) in product.contraction.accesses().map_err(|e| e.to_string())? {
            access.offset.symbols(&mut symbols);
            access.strides.iter().chain(&over).for_each(|d| d.symbols(&mut symbols));
        }
    }
    let mut cases: Vec<Case> = Vec::new();
    for sizes in bindings(kernel, &symbols) {
        cases.extend(at(kernel, source, sizes, options));
    }
    // What is too large is left out, but for the smallest.
    cases.sort_by_key(Case::count);
    cases.dedup_by(|a, b| a.extents == b.extents);
    let keep = cases.iter().filter(|case| case.count() <= limit(options)).count().max(1);
    cases.truncate(keep);
    cases.extend(walk(kernel, source, &symbols));
    for case in &mut cases {
        if let Blocks::Walk { multiprocessors, .. } = &mut case.source.rule.blocks {
            *multiprocessors = (*multiprocessors).min(WALKERS);
        }
    }
    if cases.is_empty() { Err("no sizes were found at which it can be launched".into()) } else { Ok(cases) }
}

/// The most elements of a case, unless the smallest has more.
fn limit(options: &Options) -> u64 {
    options.samples.max(1) as u64 * 4
}

/// Elements from which a kernel whose blocks walk the domain is tried: every code of 16 bits and some.
const WALK: u64 = (1 << 16) + 7;
/// Multiprocessors that it is spread over, so that each block walks several rounds and the last of them are not whole.
const WALKERS: u32 = 2;

/// A case in which the blocks of a kernel walk its domain, if it is such a kernel. It is larger than the others: a table of 65,536 entries is
/// not proved by fewer.
fn walk(kernel: &Kernel, source: &KernelSource, symbols: &BTreeSet<String>) -> Option<Case> {
    if !matches!(source.rule.blocks, Blocks::Persistent { .. }) {
        return None;
    }
    let lengths = [1, 2, 3, 5, 9, 17, 33, 65, 129, 257, 513, 1031, 2053, 4099, 8209, 16411, 32771, WALK];
    let sizes = |length: u64| -> Bindings { symbols.iter().map(|name| (name.clone(), length)).collect() };
    let lengths = if symbols.is_empty() { &lengths[..1] } else { &lengths[..] };
    let mut found = lengths.iter().flat_map(|length| {
        let sizes = sizes(*length);
        let extents = kernel.domain.iter().map(|d| d.eval(&sizes)).collect::<Result<Vec<u64>, _>>().unwrap_or_default();
        let inner: u64 = extents.iter().skip(1).product::<u64>().max(1);
        // A static axis is cut where the text stays what it is.
        let wanted = WALK.div_ceil(inner);
        let tails = [0, 1, 2, 3, 8, 16].map(|more| wanted + more);
        tails.into_iter().find_map(|outer| cut(kernel, source, &sizes, &extents, outer))
    });
    let mut case = found.find(|case| (WALK..16 * WALK).contains(&case.count()))?;
    if let Blocks::Persistent { multiprocessors, .. } = &mut case.source.rule.blocks {
        *multiprocessors = WALKERS;
    }
    Some(case)
}

/// What the symbols of a kernel stand for in its cases.
fn bindings(kernel: &Kernel, symbols: &BTreeSet<String>) -> Vec<Bindings> {
    if symbols.is_empty() {
        return vec![Bindings::new()];
    }
    let (mut open, mut stated) = (BTreeSet::new(), BTreeSet::from([1]));
    for Broadcast { from, to, .. } in &kernel.broadcasts {
        for size in [from, to] {
            size.symbols(&mut open);
            stated.extend(size.known().and_then(|n| u64::try_from(n).ok()));
        }
    }
    let open: Vec<String> = open.into_iter().take(MOST_OPEN).collect();
    let mut all = Vec::new();
    for round in 0..SIZES.len() {
        // Symbols differ from one another, so that a kernel that takes one for the other is found out.
        let size = |i: usize| SIZES[(round + i) % SIZES.len()];
        let mut sizes: Bindings = symbols.iter().enumerate().map(|(i, s)| (s.clone(), size(i))).collect();
        // Those that must broadcast to one another take the same size, 1 and what is stated in turn.
        let choices: Vec<u64> = stated.iter().copied().chain([SIZES[round]]).collect();
        for mut choice in 0..choices.len().pow(open.len() as u32) {
            for symbol in &open {
                sizes.insert(symbol.clone(), choices[choice % choices.len()]);
                choice /= choices.len();
            }
            if kernel.check_broadcasts(&sizes).is_ok() {
                all.push(sizes.clone());
            }
        }
    }
    all
}

/// Symbols whose broadcasts are tried in every way.
const MOST_OPEN: usize = 4;

impl Case {
    /// Number of elements.
    pub fn count(&self) -> u64 {
        self.extents.iter().product()
    }
}

/// The kernel at these sizes, with the outermost axis as it is and cut to several lengths.
fn at(kernel: &Kernel, source: &KernelSource, sizes: Bindings, options: &Options) -> Vec<Case> {
    let Ok(extents) = kernel.domain.iter().map(|d| d.eval(&sizes)).collect::<Result<Vec<u64>, _>>() else {
        return Vec::new();
    };
    // A window may not fit into the smallest sizes.
    if matches!(source.launch(kernel, &sizes), Err(emit::EmitError::Dim { .. })) {
        return Vec::new();
    }
    let Some((&outer, inner)) = extents.split_first() else {
        return vec![Case { kernel: kernel.clone(), source: source.clone(), sizes, extents }];
    };
    let inner: u64 = inner.iter().product::<u64>().max(1);
    let most = (options.samples as u64 / inner).clamp(1, outer.max(1));
    let symbolic = kernel.domain[0].known().is_none();
    // A product's columns stay as they are.
    let columns = kernel.product.is_some() && extents.len() == 1;
    let lengths: BTreeSet<u64> = if symbolic || columns || outer == 0 {
        [outer].into()
    } else {
        // A static axis is tried at its end and at tails of every vector width.
        [1, 3, 16, most / 2 + 1, most.saturating_sub(1), most].into_iter().filter(|n| (1..=outer).contains(n)).collect()
    };
    let cases: Vec<Case> =
        lengths.into_iter().filter_map(|length| cut(kernel, source, &sizes, &extents, length)).collect();
    if cases.is_empty() { vec![smaller(kernel, source, sizes, extents, limit(options))] } else { cases }
}
