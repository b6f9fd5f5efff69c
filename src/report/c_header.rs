//! A C header that lets another engine launch the compiled kernels with nothing but the CUDA driver.
//!
//! For each kernel of the plan it holds a struct of the kernel's parameters, and a function that fills it from addresses and sizes and
//! returns the grid. The engine loads the cubin, gets the entry, and passes both to `cuLaunchKernel`.

use crate::dim::Dim;
use crate::dtype::DType;
use crate::emit::{self, Blocks, KernelSource, ParamValue};
use crate::name::Shown;
use crate::plan::routine::Operand;
use crate::plan::{Access, BufferId, IndexWidth, Kernel, Matrix, Plan, Product, Routine, Stage};
use crate::scalar::Scalar;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Tables of more bytes than this are files of their own.
pub const LARGEST_TABLE_IN_HEADER: usize = 4096;

const PREAMBLE: &str = r#"#ifndef POINTWELD_KERNELS_H
#define POINTWELD_KERNELS_H

#include <stdint.h>

/* What cuLaunchKernel takes. Nothing is to be launched if grid is 0. More than 48 KiB of shared memory must first be allowed with
   cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_bytes). */
typedef struct { uint32_t grid, block, shared_bytes; } pw_launch;

/* A CUtensorMap of cuda.h. */
typedef struct { uint64_t opaque[16]; } pw_tensor_map;

/* Every size is positive where it divides. */
static inline int64_t pw_floor_div(int64_t a, int64_t b) { int64_t q = a / b; return q - (a % b != 0 && (a < 0) != (b < 0)); }
static inline int64_t pw_ceil_div(int64_t a, int64_t b) { return pw_floor_div(a + b - 1, b); }
static inline int64_t pw_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t pw_min(int64_t a, int64_t b) { return a < b ? a : b; }

/* Multiplier and shift that divide 31-bit numbers by d: n / d == ((uint64_t)(2 * n) * multiplier >> 32) >> shift. */
static inline uint32_t pw_shift(int64_t d) { uint32_t s = 0; while (s < 31 && (INT64_C(1) << s) < d) ++s; return s; }
static inline uint32_t pw_multiplier(int64_t d) {
  uint64_t by = d < 1 ? 1 : (uint64_t)d;
  uint64_t power = UINT64_C(1) << (31 + pw_shift((int64_t)by));
  return (uint32_t)((power + by - 1) / by);
}
"#;

/// What a header says of a kernel or of a stage of a routine.
struct Subject {
    name: String,
    line: String,
    /// Both factors of a kernel's product.
    factors: Vec<Tensor>,
    loads: Vec<Tensor>,
    stores: Vec<Tensor>,
    /// The factors as tensor maps describe them.
    matrices: Option<[Matrix; 2]>,
    /// Nothing is launched if one of them is 0.
    extents: Vec<Dim>,
}

/// A tensor of a launch, and its first element that is touched.
struct Tensor {
    buffer: BufferId,
    dtype: DType,
    offset: Dim,
}

impl Subject {
    fn of_kernel(plan: &Plan, kernel: &Kernel) -> Subject {
        let tensor = |buffer, dtype, access: &Access| Tensor { buffer, dtype, offset: access.offset.clone() };
        let factors = kernel.product.iter().flat_map(|product| {
            let accesses = product.contraction.accesses().into_iter().flatten();
            let of = |(factor, (_, access)): (crate::plan::Operand, (Vec<Dim>, Access))| {
                tensor(factor.buffer, factor.dtype, &access)
            };
            product.factors().into_iter().zip(accesses).map(of).collect::<Vec<_>>()
        });
        Subject {
            name: kernel.name.clone(),
            line: emit::describe(plan, kernel),
            factors: factors.collect(),
            loads: kernel.loads.iter().map(|load| tensor(load.buffer, load.dtype, &load.access)).collect(),
            stores: kernel.stores.iter().map(|store| tensor(store.buffer, store.dtype, &store.access)).collect(),
            matrices: kernel.product.as_deref().and_then(Product::matrices),
            extents: kernel.domain.clone(),
        }
    }

    fn of_stage(plan: &Plan, routine: &Routine, stage: &Stage) -> Subject {
        let tensor = |o: &Operand| Tensor { buffer: o.buffer, dtype: o.dtype, offset: Dim::ZERO };
        Subject {
            name: stage.name.clone(),
            line: emit::describe_stage(plan, routine, stage),
            factors: Vec::new(),
            loads: stage.reads.iter().map(tensor).collect(),
            stores: stage.writes.iter().map(tensor).collect(),
            matrices: None,
            extents: stage.writes.first().map_or(Vec::new(), |write| write.shape.clone()),
        }
    }
}

/// The text of `kernels.h`. `sources[i]` is the text of the plan's kernel `i`, and `tables[i]` its table, if it reads one; `stages` are the
/// texts of the stages of its routines.
pub fn c_header(plan: &Plan, sources: &[&KernelSource], tables: &[Option<&[u8]>], stages: &[&KernelSource]) -> String {
    let mut text = format!("/* Written by pointweld {} for {}. */\n", env!("CARGO_PKG_VERSION"), Shown(&plan.model));
    text.push_str(PREAMBLE);
    for ((kernel, source), table) in plan.kernels().zip(sources).zip(tables) {
        one_kernel(&mut text, plan, &Subject::of_kernel(plan, kernel), source, *table);
    }
    let stage_of = plan.routines().flat_map(|routine| routine.stages.iter().map(move |stage| (routine, stage)));
    for ((routine, stage), source) in stage_of.zip(stages) {
        one_kernel(&mut text, plan, &Subject::of_stage(plan, routine, stage), source, None);
    }
    text.push_str("\n#endif\n");
    text
}

fn one_kernel(text: &mut String, plan: &Plan, kernel: &Subject, source: &KernelSource, table: Option<&[u8]>) {
    let name = &kernel.name;
    let symbols = Symbols::of(kernel, source);
    let c = |dim: &Dim| dim.to_c(&|s| symbols.0[s].clone());
    _ = writeln!(text, "\n/* {} */", kernel.line);
    _ = writeln!(text, "/* Text and cubins: kernels/{0}.*; entry: {0}. */", source.entry);
    _ = writeln!(text, "#define PW_{}_ENTRY \"{}\"", name.to_uppercase(), source.entry);
    if let Some(table) = table {
        table_text(text, name, table);
    }
    _ = writeln!(text, "typedef struct {{");
    let fields: Vec<&str> = source.params.iter().map(|p| field_type(&p.value)).collect();
    for (param, field) in source.params.iter().zip(&fields) {
        _ = writeln!(text, "  {field} {};", param.name);
    }
    _ = writeln!(text, "  void* args[{}]; /* for cuLaunchKernel */\n}} pw_{name}_params;", source.params.len());

    let mut arguments: Vec<String> = Vec::new();
    let mut body = String::new();
    for (param, field) in source.params.iter().zip(&fields) {
        let id = &param.name;
        let value = match &param.value {
            ParamValue::Load { index, align } => {
                let load = &kernel.loads[*index as usize];
                let buffer = &plan.buffer(load.buffer).name;
                arguments.push(format!("uint64_t {id} /* {}, a multiple of {align} with its offset */", Shown(buffer)));
                format!("{id} + (uint64_t)(({}) * {})", c(&load.offset), load.dtype.bytes().unwrap_or(1))
            }
            ParamValue::Store { index, align } => {
                let store = &kernel.stores[*index as usize];
                let buffer = &plan.buffer(store.buffer).name;
                arguments.push(format!("uint64_t {id} /* {}, a multiple of {align} with its offset */", Shown(buffer)));
                format!("{id} + (uint64_t)(({}) * {})", c(&store.offset), store.dtype.bytes().unwrap_or(1))
            }
            ParamValue::Factor { index, align } => {
                let Some(factor) = kernel.factors.get(*index as usize) else { continue };
                let buffer = &plan.buffer(factor.buffer).name;
                arguments.push(format!("uint64_t {id} /* {}, a multiple of {align} with its offset */", Shown(buffer)));
                format!("{id} + (uint64_t)(({}) * {})", c(&factor.offset), factor.dtype.bytes().unwrap_or(1))
            }
            ParamValue::TensorMap { index, tile: [wide, high] } => {
                let Some(factor) = kernel.factors.get(*index as usize) else { continue };
                let Some(matrix) = kernel.matrices.as_ref().and_then(|all| all.get(*index as usize)) else { continue };
                let size = matrix.dtype.bits() / 8;
                let (name, times) =
                    (Shown(&plan.buffer(factor.buffer).name), |dim: &Dim| format!("({}) * {size}", c(dim)));
                arguments.push(format!(
                    "const pw_tensor_map* {id} /* of {name}, by cuTensorMapEncodeTiled: CU_TENSOR_MAP_DATA_TYPE_UINT{}, rank 2,\n       \
                     the address plus {} (a multiple of 16), sizes {{ {}, {} }}, stride {{ {} }}, box {{ {wide}, {high} }}, steps {{ 1, 1 }},\n       \
                     CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE */",
                    8 * size,
                    times(&matrix.offset),
                    c(&matrix.line),
                    c(&matrix.lines),
                    times(&matrix.pitch),
                ));
                format!("*{id}")
            }
            ParamValue::Table { align } => {
                arguments.push(format!("uint64_t {id} /* the table on the device, a multiple of {align} */"));
                id.clone()
            }
            ParamValue::Partials => {
                let words = if let Blocks::Split { words, .. } = &source.rule.blocks { *words } else { 0 };
                arguments
                    .push(format!("uint64_t {id} /* memory of 4 * {words} bytes for each block, a multiple of 4 */"));
                id.clone()
            }
            ParamValue::Counters => {
                let split = if let Blocks::Split { split, .. } = &source.rule.blocks { *split } else { 1 };
                arguments.push(format!(
                    "uint64_t {id} /* 4 bytes of zeros for each {split} blocks, zeros again afterwards */"
                ));
                id.clone()
            }
            ParamValue::Size(dim, _) | ParamValue::Stride(dim, _) => format!("({field})({})", c(dim)),
            ParamValue::Multiplier(dim) => format!("pw_multiplier({})", c(dim)),
            ParamValue::Shift(dim) => format!("pw_shift({})", c(dim)),
            ParamValue::Scalar(scalar) => literal(*scalar),
        };
        _ = writeln!(body, "  p->{id} = {value};");
    }
    for (i, param) in source.params.iter().enumerate() {
        _ = writeln!(body, "  p->args[{i}] = &p->{};", param.name);
    }
    arguments.extend(symbols.0.values().map(|s| format!("int64_t {s}")));
    _ = writeln!(text, "static inline pw_launch pw_{name}(pw_{name}_params* p");
    for argument in &arguments {
        _ = writeln!(text, "    , {argument}");
    }
    let rule = &source.rule;
    let product = |pairs: &[(Dim, u64)]| {
        let steps = pairs.iter().map(|(size, step)| format!("pw_ceil_div({}, {step})", c(size)));
        std::iter::once("INT64_C(1)".to_string()).chain(steps).collect::<Vec<_>>().join(" * ")
    };
    let blocks = match &rule.blocks {
        Blocks::Threads(pairs) => format!("pw_ceil_div({}, {})", product(pairs), rule.threads),
        Blocks::Tiles(pairs) | Blocks::Walked { tiles: pairs, .. } => product(pairs),
        Blocks::Split { tiles, split, .. } => format!("{} * {split}", product(tiles)),
        Blocks::Walk { tiles, multiprocessors } => format!("pw_min({}, {multiprocessors})", product(tiles)),
        Blocks::Persistent { size, step, multiprocessors } => {
            format!("pw_min(pw_ceil_div(pw_ceil_div({}, {step}), {}), {multiprocessors})", c(size), rule.threads)
        }
    };
    _ = writeln!(text, ") {{\n{body}  const int64_t elements = {};", product(&ones(kernel)));
    _ = writeln!(
        text,
        "  const pw_launch launch = {{ elements ? (uint32_t)({blocks}) : 0, {}, {} }};",
        rule.threads, rule.dynamic_shared
    );
    _ = writeln!(text, "  return launch;\n}}");
}

fn ones(kernel: &Subject) -> Vec<(Dim, u64)> {
    kernel.extents.iter().map(|d| (d.clone(), 1)).collect()
}

fn field_type(value: &ParamValue) -> &'static str {
    match value {
        ParamValue::Load { .. }
        | ParamValue::Store { .. }
        | ParamValue::Factor { .. }
        | ParamValue::Table { .. }
        | ParamValue::Partials
        | ParamValue::Counters => "uint64_t",
        ParamValue::TensorMap { .. } => "pw_tensor_map",
        ParamValue::Size(_, IndexWidth::Bits32) | ParamValue::Multiplier(_) | ParamValue::Shift(_) => "uint32_t",
        ParamValue::Size(_, IndexWidth::Bits64) => "uint64_t",
        ParamValue::Stride(_, IndexWidth::Bits32) => "int32_t",
        ParamValue::Stride(_, IndexWidth::Bits64) => "int64_t",
        ParamValue::Scalar(scalar) => match scalar.dtype() {
            DType::F64 => "double",
            t if t.is_float() => "float",
            _ => "int32_t",
        },
    }
}

/// A constant as C text that reads back to the same bits.
fn literal(scalar: Scalar) -> String {
    match scalar.number() {
        crate::scalar::Number::Int(i) => i.to_string(),
        crate::scalar::Number::Float(x) if x.is_nan() => "0.0 / 0.0".into(),
        crate::scalar::Number::Float(x) if x.is_infinite() => if x > 0.0 { "1.0 / 0.0" } else { "-1.0 / 0.0" }.into(),
        // Rust's shortest decimal of the f64 reads back exactly, and so does its rounding to float.
        crate::scalar::Number::Float(x) => format!("{x:?}"),
    }
}

fn table_text(text: &mut String, name: &str, table: &[u8]) {
    // A table of 65,536 entries is a file of its own, beside the cubin.
    if table.len() > LARGEST_TABLE_IN_HEADER {
        _ = writeln!(text, "/* Its table of {} bytes: kernels/{name}.table. */", table.len());
        return;
    }
    _ = writeln!(text, "static const unsigned char pw_{name}_table[{}] = {{", table.len());
    for row in table.chunks(16) {
        let bytes: Vec<String> = row.iter().map(|b| format!("{b:3}")).collect();
        _ = writeln!(text, "  {},", bytes.join(", "));
    }
    _ = writeln!(text, "}};");
}

/// The symbols that a kernel's launch depends on, each with a C identifier of its own.
struct Symbols(BTreeMap<String, String>);

impl Symbols {
    fn of(kernel: &Subject, source: &KernelSource) -> Symbols {
        let mut names = BTreeSet::new();
        kernel
            .factors
            .iter()
            .chain(&kernel.loads)
            .chain(&kernel.stores)
            .for_each(|tensor| tensor.offset.symbols(&mut names));
        kernel.extents.iter().for_each(|d| d.symbols(&mut names));
        for matrix in kernel.matrices.iter().flatten() {
            [&matrix.line, &matrix.lines, &matrix.pitch].iter().for_each(|d| d.symbols(&mut names));
        }
        for param in &source.params {
            if let ParamValue::Size(d, _)
            | ParamValue::Stride(d, _)
            | ParamValue::Multiplier(d)
            | ParamValue::Shift(d) = &param.value
            {
                d.symbols(&mut names);
            }
        }
        let identifier = |(i, name): (usize, String)| {
            let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(40).collect();
            (name, format!("s{i}_{safe}"))
        };
        Symbols(names.into_iter().enumerate().map(identifier).collect())
    }
}
