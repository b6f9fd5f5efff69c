//! The schedules of one kernel that may be measured against each other.
//!
//! Every one of them computes the same: what is listed here keeps to the rules by which [`super::choose`] decides, and differs from its
//! choice in what only changes the time.

use super::{MORE_THREADS, Options, THREADS, channels, codes16, pick, product, vector};
use crate::plan::{Form, Kernel, Pick, Table, layout};
use crate::target::Target;

/// All candidates, the choice by rule and model first.
pub fn candidates(kernel: &Kernel, target: &Target, options: &Options) -> Vec<Pick> {
    let chosen = pick(kernel, target, options);
    let mut all = vec![chosen.clone()];
    match (&chosen.form, chosen.table) {
        (Form::Product { .. } | Form::Patch { .. }, _) => {
            if is_plain(kernel) {
                all.push(Pick { library: true, ..chosen.clone() });
            }
            let forms = product::forms(kernel, target, options).into_iter();
            all.extend(forms.map(|(form, _)| Pick { threads: threads(&form), form, table: None, library: false }));
        }
        (Form::Depthwise { vector }, _) => {
            for vector in [vector / 2, vector / 4].into_iter().filter(|n| *n > 0) {
                all.extend(sized(Form::Depthwise { vector }, None));
            }
            all.extend(sized(chosen.form.clone(), None));
        }
        (_, Some(Table::Codes16 { .. })) => {
            let flat = Form::Flat { vector: vector::flat(kernel, target, THREADS) };
            all.extend(sized(flat, None));
        }
        (_, Some(Table::Channels8 { .. })) => all.extend(sized(super::form(kernel, target), None)),
        (Form::Flat { vector }, table) => {
            let most = vector::most(kernel);
            for vector in [vector / 2, *vector, vector * 2].into_iter().filter(|n| (1..=most).contains(n)) {
                all.extend(sized(Form::Flat { vector }, table));
            }
            all.extend(sized(chosen.form.clone(), None));
            all.extend(codes16::pick(kernel, target));
            all.extend(channels::pick(kernel, target, options));
        }
        (&Form::Rows { vector, .. }, table) => {
            all.extend(channels::pick(kernel, target, options));
            let [outer @ .., _] = &kernel.domain[..] else { return all };
            let whole = |rows: &u32| {
                let last = outer.last().is_some_and(|last| layout::is_multiple(last, u64::from(*rows)));
                last || layout::is_single(outer)
            };
            for rows in [1, 2, 4, 8].into_iter().filter(whole) {
                all.extend(sized(Form::Rows { vector, rows }, table));
                all.extend(
                    (vector > 1).then(|| sized(Form::Rows { vector: vector / 2, rows }, table)).into_iter().flatten(),
                );
            }
        }
        (Form::Transposed { .. } | Form::Strided, _) => {}
    }
    let mut distinct: Vec<Pick> = Vec::new();
    for pick in all {
        if !distinct.contains(&pick) {
            distinct.push(pick);
        }
    }
    distinct
}

/// Whether a kernel is a product and nothing else, as a library computes it.
fn is_plain(kernel: &Kernel) -> bool {
    kernel.body.is_empty() && kernel.loads.is_empty() && kernel.stores.len() == 1
}

/// A form in blocks of either size.
fn sized(form: Form, table: Option<Table>) -> Vec<Pick> {
    [THREADS, MORE_THREADS].map(|threads| Pick { form: form.clone(), table, threads, library: false }).to_vec()
}

fn threads(form: &Form) -> u32 {
    match form {
        Form::Product { blocking, .. } => blocking.threads(),
        Form::Patch { patch, .. } => 32 * patch.warps,
        _ => THREADS,
    }
}
