//! Running machine code on a GPU: devices, streams, buffers, modules, launches and CUDA graphs.
//!
//! It stands on cudarc's bindings to the CUDA driver, which are loaded when [`Device::list`] or [`Device::open`] is first called, so a
//! program that uses this room builds and starts on a machine without a GPU.
//!
//! Every object holds what it needs alive: a buffer its device, a [`Call`] its function and its buffers, a [`Graph`] its calls.
//! All of them may be used from several threads. The one promise that no type can check, that a kernel's arguments are what the kernel
//! expects, is asked for once, where a [`Call`] is made; everything after that is safe.
//!
//! Where no kernel of pointweld's takes a product to the tensor cores, or a lock says so, [`libraries`] of NVIDIA's may compute it.
//!
//! A plan runs as an [`Engine`]. Machine code of the room `compile` runs by hand: [`Device::open`], [`Module::load`], [`Module::function`],
//! [`Device::alloc`], [`Buffer::upload`], [`Call::new`], [`Call::launch`] or [`Graph::record`] and [`Graph::launch`],
//! [`Buffer::download`].

mod buffer;
mod call;
mod device;
mod driver;
pub mod engine;
mod error;
mod graph;
pub mod libraries;
mod module;
mod stream;
mod tensor_map;

pub use buffer::Buffer;
pub use call::{Arg, Call, Geometry};
pub use device::{Device, DeviceInfo};
pub use engine::{Engine, EngineError, Session};
pub use error::DeviceError;
pub use graph::Graph;
pub use module::{Function, Module};
pub use stream::{Event, Stream};
