//! Every identifier of a generated kernel that the emitter makes up is made here.
//!
//! They are built of positions in the kernel and names of the op table, never of a model's names, so that kernels which
//! compute the same have the same text, and no model can write into it.

use crate::op::Op;

/// The pointer to the operand of load `i`.
pub fn load(i: usize) -> String {
    format!("x{i}")
}

/// The registers that hold a vector of load `i` as memory has it.
pub fn load_words(i: usize) -> String {
    format!("x{i}_w")
}

/// One element of load `i`.
pub fn element(i: usize) -> String {
    format!("x{i}_e")
}

/// One element of integer load `i` as a float.
pub fn element_as_float(i: usize) -> String {
    format!("x{i}_f")
}

/// The pointer to the factor `index` of a product.
pub fn factor(index: u32) -> &'static str {
    ["a", "b"][index.min(1) as usize]
}

/// The accumulator of one element of a product.
pub const PRODUCT: &str = "acc_e";

/// The lower ends of the codes of a store, and the words they pack into.
pub fn store_lower_elements(i: usize) -> String {
    format!("y{i}_l")
}

pub fn store_lower_words(i: usize) -> String {
    format!("y{i}_v")
}

/// The pointer to the result of store `i`.
pub fn store(i: usize) -> String {
    format!("y{i}")
}

/// The elements of store `i` before they are packed.
pub fn store_elements(i: usize) -> String {
    format!("y{i}_e")
}

/// The registers that hold a vector of store `i` as memory has it.
pub fn store_words(i: usize) -> String {
    format!("y{i}_w")
}

/// The value of statement `i`.
pub fn value(i: usize, op: Op) -> String {
    format!("v{i}_{}", op.name())
}

/// Something that belongs to statement `i`: its `scale`, its `zero` …
pub fn of_value(i: usize, what: &str) -> String {
    format!("v{i}_{what}")
}

/// The index along domain axis `axis`.
pub fn index(axis: usize) -> String {
    format!("i{axis}")
}

/// The size of domain axis `axis`, and what division by it needs.
pub fn size(axis: usize) -> String {
    format!("d{axis}")
}

/// The stride of a tensor (named as its pointer is) along domain axis `axis`.
pub fn stride(pointer: &str, axis: usize) -> String {
    format!("{pointer}_s{axis}")
}

/// The tile in shared memory that a tensor (named as its pointer is) passes through.
pub fn tile(pointer: &str) -> String {
    format!("{pointer}_tile")
}
