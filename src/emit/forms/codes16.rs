//! A function of a 16-bit operand, looked up: a table of 65,536 entries in shared memory, which as many blocks as the GPU runs at a time
//! copy once each before they walk the whole domain.

use super::{Filled, Parts, flat};
use crate::emit::EmitError;
use crate::emit::launch::Blocks;
use crate::emit::names;
use crate::emit::params::Param;
use crate::plan::layout;

/// Vectors of a thread in flight at a time: 32 bytes, with 1024 threads enough for the memory's latency.
const STEPS: u32 = 2;

/// Fills the skeleton: `vector` adjacent elements a thread and step.
pub fn codes16(parts: &Parts, vector: u32, blocks: u32) -> Result<Filled, EmitError> {
    let kernel = parts.kernel;
    let dim = |source| EmitError::Dim { kernel: kernel.name.clone(), source };
    let unfit = |why: &str| EmitError::Schedule { kernel: kernel.name.clone(), why: why.to_owned() };
    let Some(table) = &parts.table else { return Err(unfit("it has no table")) };
    let accesses = kernel.loads.iter().map(|l| &l.access).chain(kernel.stores.iter().map(|s| &s.access));
    if !accesses.into_iter().all(|access| access.is_dense(&kernel.domain)) {
        return Err(unfit("a table of 16-bit codes takes dense tensors"));
    }
    let count = kernel.count().map_err(dim)?;
    let wide = u64::from(vector);
    let tail = !layout::is_multiple(&count, wide);

    let (load, words) = (names::load(0), names::load_words(0));
    let size = parts.load_bytes(0);
    let align = flat::alignment(&kernel.loads[0].access, size, wide);
    let bytes = size * wide;
    let mut pointers = vec![Param::load(kernel, 0, align)];
    let load_whole = vec![format!("{words}[s] = {}<{bytes}, {align}>({load} + first);", parts.load_once())];
    let load_some = vec![format!("{words}[s] = load_some<{bytes}, {size}>({load} + first, live);")];
    let mut element = parts.unpack(0, &format!("{words}[s]"), "e", |_| false);
    let (mut arrays, mut packed, mut store_whole, mut store_some) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, store) in kernel.stores.iter().enumerate() {
        let size = parts.store_bytes(i);
        let bytes = size * wide;
        let align = flat::alignment(&store.access, size, wide);
        let output = &parts.body.outputs[i];
        let (pointer, elements, words) = (names::store(i), names::store_elements(i), names::store_words(i));
        pointers.push(Param::store(kernel, i, align));
        arrays.push(format!("{} {elements}[{vector}];", output.c_type));
        element.push(format!("{elements}[e] = {};", output.value));
        packed.push(format!("const auto {words} = {}({elements});", output.packer));
        store_whole.push(format!("{}<{bytes}, {align}>({pointer} + first, {words});", parts.store_once()));
        store_some.push(format!("store_some<{bytes}, {size}>({pointer} + first, {words}, live);"));
    }
    let mut context = parts.context();
    context.insert(
        "what",
        &format!("Each block walks the domain, {STEPS} vectors of {vector} elements a thread at a time."),
    );
    context.insert("vector", &vector);
    context.insert("lanes", &vector);
    context.insert("steps", &STEPS);
    context.insert("tail", &tail);
    context.insert("doubtful", &false);
    context.insert("watch", &false);
    for (name, lines) in [
        ("prologue", &vec![format!("Words<{}> {words}[{STEPS}];", bytes.div_ceil(4))]),
        ("load_whole", &load_whole),
        ("load_some", &load_some),
        ("settled", &Vec::new()),
        ("arrays", &arrays),
        ("element", &element),
        ("packed", &packed),
        ("store_whole", &store_whole),
        ("store_some", &store_some),
    ] {
        context.insert(name, lines);
    }
    let dynamic_shared = table.bytes();
    let params = parts.params(pointers, vec![Param::size("count".into(), &count, parts.width())]);
    let blocks = Blocks::Persistent { size: count, step: wide * u64::from(STEPS), multiprocessors: blocks };
    Ok(Filled {
        name: format!("{}_codes16", parts.name()),
        template: "codes16",
        context,
        params,
        blocks,
        dynamic_shared,
    })
}
