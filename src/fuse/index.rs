//! Index maps: how each value of a kernel is indexed by the kernel's iterators.
//!
//! A kernel's [`Space`] is a list of iterators. The index of a value is one affine [`Expr`] of them per axis. Views change the map
//! and compute nothing. A reshape or a repeat may need an iterator cut in two, `i = f·hi + lo`; every map of the
//! space is rewritten when that happens, so that maps stay affine and nothing is lowered twice.

use crate::dim::{Dim, DimError};
use crate::plan::Access;
use crate::shape::Shape;
use smallvec::SmallVec;

/// An affine expression: offset + Σ coefficient·iterator, sorted by iterator, without zero coefficients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Expr {
    pub offset: Dim,
    pub terms: SmallVec<[(u32, Dim); 2]>,
}

/// The index of a value: one expression an axis.
pub(super) type IndexMap = Vec<Expr>;

/// A map of a [`Space`], by its place there. Splitting iterators leaves it valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct MapId(pub u32);

/// The iterators of a kernel with the index maps in use.
#[derive(Debug, Clone, Default)]
pub(super) struct Space {
    pub extents: Vec<Dim>,
    maps: Vec<IndexMap>,
    /// An iterator that may not be cut: the columns of the kernel's product.
    pub whole: Option<u32>,
}

impl Expr {
    pub fn zero() -> Expr {
        Expr { offset: Dim::ZERO, terms: SmallVec::new() }
    }

    fn iterator(i: u32) -> Expr {
        Expr { offset: Dim::ZERO, terms: smallvec::smallvec![(i, Dim::ONE)] }
    }

    fn add(&self, other: &Expr) -> Result<Expr, DimError> {
        let mut sum = Expr { offset: self.offset.add(&other.offset)?, terms: self.terms.clone() };
        for (i, c) in &other.terms {
            sum.add_term(*i, c)?;
        }
        Ok(sum)
    }

    fn add_term(&mut self, i: u32, c: &Dim) -> Result<(), DimError> {
        match self.terms.binary_search_by_key(&i, |t| t.0) {
            Err(at) if !c.is(0) => self.terms.insert(at, (i, c.clone())),
            Err(_) => {}
            Ok(at) => {
                self.terms[at].1 = self.terms[at].1.add(c)?;
                if self.terms[at].1.is(0) {
                    self.terms.remove(at);
                }
            }
        }
        Ok(())
    }

    fn scale(&self, by: &Dim) -> Result<Expr, DimError> {
        if by.is(1) {
            return Ok(self.clone());
        }
        let mut scaled = Expr { offset: self.offset.mul(by)?, terms: SmallVec::new() };
        for (i, c) in &self.terms {
            scaled.add_term(*i, &c.mul(by)?)?;
        }
        Ok(scaled)
    }

    /// start + step·self
    pub fn along(&self, start: &Dim, step: i64) -> Result<Expr, DimError> {
        let mut scaled = self.scale(&Dim::fixed(step))?;
        scaled.offset = scaled.offset.add(start)?;
        Ok(scaled)
    }

    /// Writes iterator `i` as `f·i + lo`.
    fn split(&mut self, i: u32, lo: u32, f: &Dim) -> Result<(), DimError> {
        if let Ok(at) = self.terms.binary_search_by_key(&i, |t| t.0) {
            let c = self.terms[at].1.clone();
            self.terms[at].1 = c.mul(f)?;
            // `lo` is the newest iterator, so it comes last.
            self.terms.push((lo, c));
        }
        Ok(())
    }
}

/// The linear index, in elements of a dense row-major tensor of shape `shape`.
pub(super) fn linear(map: &[Expr], shape: &Shape) -> Result<Expr, DimError> {
    let (mut sum, mut stride) = (Expr::zero(), Dim::ONE);
    for (expr, size) in map.iter().zip(shape.iter()).rev() {
        sum = sum.add(&expr.scale(&stride)?)?;
        stride = stride.mul(size)?;
    }
    Ok(sum)
}

impl Space {
    /// The space of a value's own shape, with the identity as map 0. Axes of extent 1 have no iterator.
    pub fn of(shape: &Shape) -> Space {
        let mut space = Space::default();
        let map = shape.iter().map(|size| match size.is(1) {
            true => Expr::zero(),
            false => {
                space.extents.push(size.clone());
                Expr::iterator(space.extents.len() as u32 - 1)
            }
        });
        let map = map.collect();
        space.maps.push(map);
        space
    }

    pub const IDENTITY: MapId = MapId(0);

    pub fn map(&self, id: MapId) -> &IndexMap {
        &self.maps[id.0 as usize]
    }

    /// The id of a map, new or known.
    pub fn intern(&mut self, map: IndexMap) -> MapId {
        let at = self.maps.iter().position(|m| *m == map).unwrap_or_else(|| {
            self.maps.push(map);
            self.maps.len() - 1
        });
        MapId(at as u32)
    }

    /// Cuts iterator `i` in two, the inner of extent `f`, which must divide it, and rewrites every map and the expressions `held`.
    fn split<'e>(&mut self, i: u32, f: &Dim, held: impl Iterator<Item = &'e mut Expr>) -> Option<u32> {
        if self.whole == Some(i) {
            return None;
        }
        let outer = self.extents[i as usize].div_exact(f)?;
        let lo = self.extents.len() as u32;
        self.extents[i as usize] = outer;
        self.extents.push(f.clone());
        for expr in self.maps.iter_mut().flatten() {
            expr.split(i, lo, f).ok()?;
        }
        for expr in held {
            expr.split(i, lo, f).ok()?;
        }
        Some(lo)
    }

    /// The map of an operand that broadcasts from shape `from` to `to`. An axis whose size does not say whether it does is walked in steps
    /// of 1 or 0, which a launch decides.
    pub fn broadcast(&self, map: &[Expr], from: &Shape, to: &Shape) -> Option<IndexMap> {
        let skip = to.rank().checked_sub(from.rank())?;
        let axis = |(axis, size): (usize, &Dim)| match () {
            _ if *size == to[axis + skip] => Some(map[axis + skip].clone()),
            _ if size.is(1) => Some(Expr::zero()),
            _ => {
                let more_than_one = size.sub(&Dim::ONE).ok()?.larger(&Dim::ZERO).ok()?.smaller(&Dim::ONE).ok()?;
                map[axis + skip].scale(&more_than_one).ok()
            }
        };
        from.iter().enumerate().map(axis).collect()
    }

    /// The index under shape `to` of the element that `map` indexes under shape `from`, in row-major order.
    pub fn reshape(&mut self, map: &[Expr], from: &Shape, to: &Shape) -> Option<IndexMap> {
        if from == to {
            return Some(map.to_vec());
        }
        let mut pieces = Vec::new();
        for (source, target) in segments(from, to) {
            let part = Shape(from[source.clone()].to_vec());
            pieces.push((linear(&map[source], &part).ok()?, target));
        }
        let mut result = vec![Expr::zero(); to.rank()];
        while let Some((mut rest, target)) = pieces.pop() {
            let axes: Vec<usize> = target.filter(|&axis| !to[axis].is(1)).collect();
            let Some((&outermost, inner)) = axes.split_first() else { continue };
            for &axis in inner.iter().rev() {
                let held = pieces.iter_mut().map(|p| &mut p.0).chain(&mut result);
                result[axis] = self.remainder(&mut rest, &to[axis], held.collect())?;
            }
            result[outermost] = rest;
        }
        Some(result)
    }

    /// ⌊map / factor⌋ on each axis.
    pub fn repeat(&mut self, map: &[Expr], factors: &[u64]) -> Option<IndexMap> {
        let mut result = map.to_vec();
        for axis in 0..result.len() {
            let factor = factors.get(axis).copied().unwrap_or(1);
            if factor > 1 {
                let mut rest = std::mem::replace(&mut result[axis], Expr::zero());
                self.remainder(&mut rest, &Dim::fixed(i64::try_from(factor).ok()?), result.iter_mut().collect())?;
                result[axis] = rest;
            }
        }
        Some(result)
    }

    /// Divides an index by `by`: leaves the quotient in `rest` and returns the remainder, splitting iterators that reach
    /// into both. `None` where it can't be shown that no iterator carries from one into the other.
    fn remainder(&mut self, rest: &mut Expr, by: &Dim, mut held: Vec<&mut Expr>) -> Option<Expr> {
        let (mut quotient, mut remainder) = (Expr::zero(), Expr::zero());
        (quotient.offset, remainder.offset) = divide_offset(&rest.offset, by)?;
        let mut todo: SmallVec<[(u32, Dim); 2]> = std::mem::take(&mut rest.terms);
        todo.reverse();
        while let Some((i, c)) = todo.pop() {
            if !c.never_negative() {
                return None;
            }
            if let Some(q) = c.div_exact(by) {
                quotient.add_term(i, &q).ok()?;
                continue;
            }
            let (extent, period) = (self.extents[i as usize].clone(), by.div_exact(&c)?);
            let below = matches!((extent.known(), period.known()), (Some(e), Some(p)) if e <= p);
            if !below && period.div_exact(&extent).is_none() {
                let held = held.iter_mut().map(|e| &mut **e).chain([&mut quotient, &mut remainder]);
                let lo = self.split(i, &period, held)?;
                quotient.add_term(i, &Dim::ONE).ok()?;
                remainder.add_term(lo, &c).ok()?;
            } else {
                remainder.add_term(i, &c).ok()?;
            }
        }
        let fits = self.stays_below(&remainder, by);
        *rest = quotient;
        fits.then_some(remainder)
    }

    /// Whether an expression is below `limit` for every tuple, as far as can be shown.
    fn stays_below(&self, expr: &Expr, limit: &Dim) -> bool {
        let largest = expr.terms.iter().try_fold(expr.offset.known(), |sum, (i, c)| {
            let extent = self.extents[*i as usize].known();
            Some(sum.and_then(|s| c.known()?.checked_mul(extent?.checked_sub(1)?)?.checked_add(s)))
        });
        if let (Some(Some(largest)), Some(limit)) = (largest, limit.known()) {
            return largest < limit;
        }
        // A mixed radix: each coefficient is a multiple of all that lies below it.
        let (mut reach, mut left) = (Dim::ONE, expr.terms.clone());
        while let Some(at) = left.iter().position(|(_, c)| c.div_exact(&reach).is_some()) {
            let (i, c) = left.remove(at);
            match c.mul(&self.extents[i as usize]) {
                Ok(next) => reach = next,
                Err(_) => return false,
            }
        }
        left.is_empty() && expr.offset.is(0) && limit.div_exact(&reach).is_some()
    }

    /// The iterators of a map onto `shape`, innermost first, if every element is indexed exactly once.
    pub fn bijection(&self, map: &[Expr], shape: &Shape) -> Option<Vec<u32>> {
        let index = linear(map, shape).ok()?;
        let mut left = index.terms;
        let (mut reach, mut order) = (Dim::ONE, Vec::with_capacity(left.len()));
        while let Some(at) = left.iter().position(|(_, c)| *c == reach) {
            let (i, _) = left.remove(at);
            reach = reach.mul(&self.extents[i as usize]).ok()?;
            order.push(i);
        }
        let all = self.extents.iter().enumerate().all(|(i, e)| e.is(1) || order.contains(&(i as u32)));
        (all && left.is_empty() && index.offset.is(0) && shape.count() == Ok(reach)).then_some(order)
    }

    /// The iterator of the last axis of a tensor that a map indexes, each element once, if that axis has exactly one; `Some(None)` if it has one element.
    pub fn columns(&self, map: &[Expr], shape: &Shape) -> Option<Option<u32>> {
        let order = self.bijection(map, shape)?;
        match shape.last() {
            Some(n) if !n.is(1) => {
                let innermost = order.into_iter().find(|i| !self.extents[*i as usize].is(1))?;
                (self.extents[innermost as usize] == *n).then_some(Some(innermost))
            }
            _ => Some(None),
        }
    }

    /// The access of a dense tensor of shape `shape` at `map`: one stride an iterator.
    pub fn access(&self, map: &[Expr], shape: &Shape) -> Result<Access, DimError> {
        let index = linear(map, shape)?;
        let mut strides = vec![Dim::ZERO; self.extents.len()];
        for (i, c) in index.terms {
            strides[i as usize] = c;
        }
        Ok(Access { offset: index.offset, strides })
    }

    /// Takes over the maps of `other`, whose iterators are paired with this space's innermost first as `mine` and `theirs`
    /// list them; refines both where extents differ by a factor. Returns where each map of `other` went.
    pub fn absorb(&mut self, mut other: Space, mut mine: Vec<u32>, mut theirs: Vec<u32>) -> Option<Vec<MapId>> {
        let mut rename = vec![u32::MAX; other.extents.len()];
        let (mut a, mut b) = (0, 0);
        while a < mine.len() && b < theirs.len() {
            let (x, y) = (self.extents[mine[a] as usize].clone(), other.extents[theirs[b] as usize].clone());
            if x != y && x.div_exact(&y).is_some() {
                let lo = self.split(mine[a], &y, std::iter::empty())?;
                mine.insert(a, lo);
            } else if x != y {
                let lo = other.split(theirs[b], &x, std::iter::empty())?;
                rename.push(u32::MAX);
                theirs.insert(b, lo);
            }
            rename[theirs[b] as usize] = mine[a];
            (a, b) = (a + 1, b + 1);
        }
        if a < mine.len() || b < theirs.len() {
            return None;
        }
        self.whole = self.whole.or(other.whole.map(|i| rename[i as usize]));
        let renamed = |mut map: IndexMap| {
            for expr in &mut map {
                expr.terms.iter_mut().for_each(|t| t.0 = rename[t.0 as usize]);
                // An extent-1 iterator that pairs with none adds nothing.
                expr.terms.retain(|t| t.0 != u32::MAX);
                expr.terms.sort_unstable_by_key(|t| t.0);
            }
            map
        };
        Some(other.maps.into_iter().map(|map| self.intern(renamed(map))).collect())
    }
}

/// ⌊offset / by⌋ and the rest.
fn divide_offset(offset: &Dim, by: &Dim) -> Option<(Dim, Dim)> {
    if let (Some(a), Some(b)) = (offset.known(), by.known()) {
        return (a >= 0 && b > 0).then(|| (Dim::fixed(a / b), Dim::fixed(a % b)));
    }
    Some((offset.div_exact(by)?, Dim::ZERO))
}

/// Pairs runs of axes of two shapes that have the same number of elements, from the innermost outward.
fn segments(from: &Shape, to: &Shape) -> Vec<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let (mut i, mut j) = (from.rank(), to.rank());
    let mut pairs = Vec::new();
    while i > 0 || j > 0 {
        let (i_end, j_end) = (i, j);
        let (mut p, mut q) = (Dim::ONE, Dim::ONE);
        let take = |shape: &Shape, at: &mut usize, product: &mut Dim| {
            if *at > 0 {
                *at -= 1;
                *product = product.mul(&shape[*at]).unwrap_or(Dim::ZERO);
            }
        };
        take(from, &mut i, &mut p);
        take(to, &mut j, &mut q);
        while p != q && (i > 0 || j > 0) {
            // The smaller product grows. Which one that is for sizes not known is a guess: a wrong one makes a run longer than need
            // be, never wrong.
            let (p_size, q_size) = (guess(&p), guess(&q));
            let grow_p = i > 0 && (j == 0 || p_size <= q_size);
            let grow_q = j > 0 && (i == 0 || p_size >= q_size);
            if grow_p {
                take(from, &mut i, &mut p);
            }
            if grow_q {
                take(to, &mut j, &mut q);
            }
        }
        pairs.push((i..i_end, j..j_end));
    }
    pairs
}

/// A size to compare unknown dimensions by.
fn guess(dim: &Dim) -> i64 {
    const SYMBOL: u64 = 1009;
    let mut symbols = std::collections::BTreeSet::new();
    dim.symbols(&mut symbols);
    let sizes = symbols.into_iter().map(|s| (s, SYMBOL)).collect();
    dim.eval_signed(&sizes).unwrap_or(i64::MAX)
}
