//! Queues of work on a GPU, and marks in them.

use std::sync::Arc;

use cudarc::driver::CudaStream;
use cudarc::driver::result;
use cudarc::driver::sys::{CUevent, CUevent_flags, CUevent_wait_flags, CUstream};

use super::driver::failed;
use super::{Device, DeviceError};

/// A queue of work: what is put into it runs in order. Clones are the same queue.
#[derive(Debug, Clone)]
pub struct Stream {
    device: Device,
    stream: Arc<CudaStream>,
}

impl Stream {
    pub(super) fn new(device: &Device) -> Result<Stream, DeviceError> {
        let stream = device.context().new_stream().map_err(failed("making a stream"))?;
        Ok(Stream { device: device.clone(), stream })
    }

    /// Its GPU.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Waits until all work in it is done.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] with the error of any work that failed.
    pub fn synchronize(&self) -> Result<(), DeviceError> {
        self.stream.synchronize().map_err(failed("waiting for a stream"))
    }

    /// Puts a mark into the queue.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] as the driver says.
    pub fn record(&self) -> Result<Event, DeviceError> {
        let event = Event::new(&self.device)?;
        // SAFETY: both are live and of the GPU that `Event::new` has chosen.
        unsafe { result::event::record(event.event, self.raw()) }.map_err(failed("recording an event"))?;
        Ok(event)
    }

    /// Makes all later work in this queue wait for a mark in another one.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] as the driver says.
    pub fn wait(&self, event: &Event) -> Result<(), DeviceError> {
        self.device.bind()?;
        // SAFETY: both are live.
        unsafe { result::stream::wait_event(self.raw(), event.event, CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT) }
            .map_err(failed("waiting for an event"))
    }

    pub(super) fn raw(&self) -> CUstream {
        self.stream.cu_stream()
    }
}

/// A mark in a stream.
#[derive(Debug)]
pub struct Event {
    event: CUevent,
    device: Device,
}

// SAFETY: the driver's functions on events may be called from any thread, and on one event from several at a time.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    fn new(device: &Device) -> Result<Event, DeviceError> {
        device.bind()?;
        let event = result::event::create(CUevent_flags::CU_EVENT_DEFAULT).map_err(failed("making an event"))?;
        Ok(Event { event, device: device.clone() })
    }

    /// Waits until the work before the mark is done.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] with the error of any work that failed.
    pub fn synchronize(&self) -> Result<(), DeviceError> {
        self.device.bind()?;
        // SAFETY: the event is live.
        unsafe { result::event::synchronize(self.event) }.map_err(failed("waiting for an event"))
    }

    /// The GPU's time from an earlier mark to this one, in µs, when both have been reached; the clock ticks every half µs.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] as the driver says.
    pub fn micros_since(&self, earlier: &Event) -> Result<f64, DeviceError> {
        self.synchronize()?;
        // SAFETY: both events are live.
        let milliseconds = unsafe { result::event::elapsed(earlier.event, self.event) }
            .map_err(failed("measuring the time between events"))?;
        Ok(f64::from(milliseconds) * 1000.0)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: the event is live and destroyed once. A failure would leave nothing to do.
            let _ = unsafe { result::event::destroy(self.event) };
        }
    }
}
