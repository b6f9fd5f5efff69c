//! When a function of an 8-bit code and its channel is better looked up than computed.
//!
//! A table of 256 entries a channel is too large for each block to copy whole. Where a channel is a row (NCHW) a block takes a part of one
//! row and copies that channel's entries. Where channels are innermost (NHWC) a block takes a window of channels and enough of their rows
//! that the window's entries are few beside them. Look-ups of one channel by 32 threads meet in the banks as those of a plain table do, those
//! of many channels as random words do.

use super::lookup::CONFLICTS;
use super::{Options, THREADS, codes16};
use crate::op::TypeRule;
use crate::plan::{Channels, Form, Kernel, Pick, Table, layout};
use crate::target::Target;

/// Elements of a vector at most, and the bytes of the widest operand's.
const VECTOR: u64 = 16;
const HELD: u64 = 32;
/// Channels of a window: a sector of 32 bytes of 8-bit codes.
const WINDOW: u64 = 32;
/// Vectors of a thread at most.
const STEPS: u64 = 16;
/// Bytes of the entries of one code.
const ENTRY: u64 = 4;
/// Bytes of all entries: they are read again and again, and shall stay in the L2 cache beside what streams through it.
const TABLE: u64 = 1 << 20;
/// Clocks of a multiprocessor for 32 look-ups of one channel, in the worst case: 256 bytes lie two deep in the banks.
const OF_ONE: f64 = 2.0;
/// Instructions of an element: its code, its place, its entry, its share of packing, loads and stores.
const ISSUE: f64 = 6.0;
/// The L2 cache gives so many bytes while the memory gives one.
const CACHE: f64 = 2.0;
/// As in [`codes16`].
const UNKNOWN: f64 = 1e6;
/// Arithmetic must take this much longer.
const MARGIN: f64 = 1.05;
/// µs until a block's first entries are there, which no other work hides where there are few blocks.
const START_US: f64 = 0.3;
/// Instructions of arithmetic beside those of its ops: for each rounding to a code, whose error depends on the channel's constants and is
/// compared in both directions, and for each constant, which is fetched and unpacked. So that three constants and one rounding come to the
/// 29.75 instructions that sm_90's machine code has for SiLU.
const ROUNDING: f64 = 10.0;
const CONSTANT: f64 = 2.0;

/// The look-up, if the kernel is better looked up.
pub fn choose(kernel: &Kernel, target: &Target, options: &Options) -> Option<Pick> {
    let (pick, channels) = fit(kernel, target, options)?;
    let (looked_up, computed) = times(kernel, &channels, &pick, target, options);
    (MARGIN * looked_up < computed).then_some(pick)
}

/// The look-up, where the kernel can be looked up at all.
pub fn pick(kernel: &Kernel, target: &Target, options: &Options) -> Option<Pick> {
    fit(kernel, target, options).map(|(pick, _)| pick)
}

fn count(kernel: &Kernel, options: &Options) -> f64 {
    kernel.count().ok().and_then(|n| n.eval(&options.sizes).ok()).map_or(UNKNOWN, |n| n as f64)
}

fn entry(kernel: &Kernel) -> u64 {
    kernel.stores.iter().map(|store| u64::from(store.dtype.bits()).div_ceil(8)).sum()
}

fn fit(kernel: &Kernel, target: &Target, options: &Options) -> Option<(Pick, Channels)> {
    let channels = kernel.channels()?;
    let entry = entry(kernel);
    if kernel.body.is_empty() || entry > ENTRY || channels.channels * entry * 256 > TABLE {
        return None;
    }
    let innermost = channels.inner.is(1);
    let whole = |vector: u64| match innermost {
        true => channels.channels % vector == 0,
        false => layout::is_multiple(&channels.inner, vector),
    };
    let widest = kernel.stores.iter().map(|store| u64::from(store.dtype.bits()).div_ceil(8)).max().unwrap_or(1);
    let mut vector = VECTOR.min(HELD / widest);
    while vector > 1 && !whole(vector) {
        vector /= 2;
    }
    // Narrower than a word, and arithmetic on rows of any length moves more at once.
    if vector < 4 {
        return None;
    }
    let window = if innermost { channels.channels.next_power_of_two().clamp(vector, WINDOW) } else { 1 };
    // As many vectors a thread as leave two blocks to every multiprocessor, and as a row has.
    let vectors = count(kernel, options) / (vector as f64 * f64::from(THREADS) * f64::from(2 * target.part.sms));
    let in_row = channels.inner.eval(&options.sizes).unwrap_or(0).div_ceil(vector * u64::from(THREADS)).max(1);
    let most = if innermost { STEPS } else { STEPS.min(in_row) };
    let steps = (vectors as u64).clamp(1, most);
    // Whole powers, so that few texts serve many sizes.
    let steps = 1 << steps.ilog2();
    let table = Some(Table::Channels8 { window: window as u32, steps });
    let form = Form::Flat { vector: vector as u32 };
    Some((Pick { form, table, threads: THREADS, library: false }, channels))
}

/// µs of the look-up and of the arithmetic.
fn times(kernel: &Kernel, channels: &Channels, pick: &Pick, target: &Target, options: &Options) -> (f64, f64) {
    let part = &target.part;
    let count = count(kernel, options);
    let entry = entry(kernel) as f64;
    let memory = |bytes: f64| bytes / part.copy_gbs() / 1e3;
    let moved = memory(count * (1.0 + entry));
    let on_all = |clocks: f64| clocks * count / f64::from(part.sms) / f64::from(part.clock_mhz);
    let [.., issue] = codes16::pipes(kernel, target);
    let rounds = kernel.body.iter().filter(|stmt| stmt.op.row().types == TypeRule::Quantize && !stmt.dtype.is_float());
    let more = ROUNDING * rounds.count() as f64 + CONSTANT * (kernel.loads.len() - 1) as f64;
    let issue = issue + more / f64::from(target.rates.issue);
    let computed = on_all(codes16::clocks(kernel, target).max(issue)).max(moved);
    let (Form::Flat { vector }, Some(Table::Channels8 { window, steps })) = (&pick.form, pick.table) else {
        return (f64::INFINITY, computed);
    };
    let banks = if channels.inner.is(1) { CONFLICTS } else { OF_ONE };
    let stores = kernel.stores.len() as f64;
    let looked_up = on_all((stores * banks / 32.0).max(ISSUE * stores / f64::from(target.rates.issue)));
    // Blocks whose last vectors lie beyond a row take as long as others.
    let of_block = f64::from(vector * steps * pick.threads);
    let row = channels.inner.eval(&options.sizes).map_or(of_block, |n| n as f64);
    let blocks = match channels.inner.is(1) {
        true => count / of_block,
        false => count / row * (row / of_block).ceil(),
    };
    let copies = memory(blocks * f64::from(window) * 256.0 * entry) / CACHE;
    (looked_up.max(moved) + copies + START_US, computed)
}
