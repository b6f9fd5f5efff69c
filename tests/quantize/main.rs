//! Quantization from end to end: small models made here, calibrated, written and run again.

mod command;
mod detector;
mod placement;
mod sensitivity;
mod written;
