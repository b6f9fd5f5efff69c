//! Quantization from end to end: small models made here, calibrated, written and run again.

mod command;
mod detector;
mod placement;
mod written;
