//! When a chain on one 8-bit operand is better looked up, in a kernel that has other operands as well.
//!
//! The chain is a function of 256 codes, so the host computes it, exactly, and a block keeps it in shared memory as f32. A look-up takes
//! two instructions for the address and a read of shared memory, whose banks answer 32 threads with unlike codes in three or four
//! clocks: less than what three results of the slow unit take, and more than two of them.

use crate::dtype::DType;
use crate::op::{Cost, TypeRule};
use crate::plan::{Arg, Kernel, Lookup};
use crate::target::Target;

/// Threads that copy the 1,024 bytes of a table in one step of 16 bytes each.
const COPIERS: usize = 64;
/// Tables of a kernel at most.
const MOST: usize = 2;
/// Clocks of a multiprocessor for 32 look-ups at random codes: a bank has up to 3.5 of them on average.
pub(super) const CONFLICTS: f64 = 3.5;
/// Arithmetic must take this much longer: a table has to be copied, and waited for.
const MARGIN: f64 = 1.25;

/// What a statement depends on.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Constants,
    Load(u32),
    More,
}

/// The chains of a kernel, scheduled otherwise, that are looked up; `reused` says of a load that an element of it serves many tuples, so that its chain is
/// computed seldom anyway.
pub fn choose(kernel: &Kernel, target: &Target, reused: impl Fn(u32) -> bool) -> Vec<Lookup> {
    let of = dependencies(kernel);
    let codes = |load: u32| matches!(kernel.loads[load as usize].dtype, DType::I8 | DType::U8) && !reused(load);
    // The ends of chains: what is computed from one operand alone, and read together with others or stored.
    let ends = kernel.body.iter().enumerate().filter_map(|(i, stmt)| {
        let Of::Load(load) = of[i] else { return None };
        let float =
            matches!(stmt.dtype, DType::F32 | DType::F16 | DType::BF16) && stmt.op.row().types != TypeRule::Quantize;
        let read =
            |(j, other): (usize, &crate::plan::Stmt)| other.args.contains(&Arg::Stmt(i as u32)) && of[j] == Of::More;
        let joins = kernel.body.iter().enumerate().any(read);
        (float && joins && codes(load)).then_some(Lookup { stmt: i as u32, load })
    });
    let most = MOST.min(kernel.schedule.threads as usize / COPIERS);
    let mut chosen: Vec<Lookup> = Vec::new();
    for end in ends {
        let with: Vec<Lookup> = chosen.iter().copied().chain([end]).collect();
        if with.len() <= most && pays(kernel, target, &chosen, &with) {
            chosen = with;
        }
    }
    chosen
}

fn dependencies(kernel: &Kernel) -> Vec<Of> {
    let mut of: Vec<Of> = Vec::with_capacity(kernel.body.len());
    for stmt in &kernel.body {
        let args = stmt.args.iter().map(|arg| match arg {
            Arg::Const(_) => Of::Constants,
            Arg::Load(i) => Of::Load(*i),
            Arg::Stmt(i) => of[*i as usize],
            Arg::Product => Of::More,
        });
        of.push(args.fold(Of::Constants, |a, b| match (a, b) {
            (Of::Constants, other) | (other, Of::Constants) => other,
            (a, b) if a == b => a,
            _ => Of::More,
        }));
    }
    of
}

/// Whether what the last look-up saves takes longer than it.
fn pays(kernel: &Kernel, target: &Target, without: &[Lookup], with: &[Lookup]) -> bool {
    let (before, after) = (kernel.live(without), kernel.live(with));
    let looked_up = with.last().map(|lookup| lookup.stmt as usize);
    let saved = (0..kernel.body.len()).filter(|i| before[*i] && (!after[*i] || Some(*i) == looked_up));
    let costs: Vec<Cost> = saved.map(|i| kernel.body[i].op.row().cost).collect();
    let sum = |pipe: fn(&Cost) -> u16| costs.iter().map(|cost| f64::from(pipe(cost))).sum::<f64>();
    let (mufu, fma, alu) = (sum(|c| c.mufu), sum(|c| c.fma), sum(|c| c.alu));
    let rates = &target.rates;
    let [xu, issue] = [rates.xu, rates.issue].map(f64::from);
    let computed = (mufu / xu).max((mufu + fma + alu) / issue);
    computed > MARGIN * (CONFLICTS / 32.0).max(3.0 / issue)
}
