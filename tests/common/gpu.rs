//! The GPU that tests run on, if there is one.

use pointweld::runtime::{Device, DeviceError};

/// The first GPU, or `None` where there is none.
pub fn device() -> Option<Device> {
    match Device::open(0) {
        Ok(device) => Some(device),
        Err(error @ (DeviceError::DriverMissing | DeviceError::NoDevice { .. } | DeviceError::DriverTooOld { .. })) => {
            eprintln!("skipped: no device ({error})");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
