//! Import of small models made here: what each family of operators becomes, what symbolic sizes come to, and that hostile
//! models give an error or an opaque node and nothing worse.

mod build;
mod control;
mod exporters;
mod hostile;
mod mutated;
mod operators;
mod quantized;
mod sizes;
