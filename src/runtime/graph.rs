//! A list of calls as one CUDA graph: one call of the driver launches them all.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::result;
use cudarc::driver::sys::{CUgraph, CUgraphExec, CUgraphInstantiate_flags, CUstreamCaptureMode};

use super::driver::failed;
use super::{Call, Device, DeviceError, Stream};

/// Calls that have been recorded. Clones are the same graph.
#[derive(Clone)]
pub struct Graph(Arc<Recorded>);

struct Recorded {
    graph: CUgraph,
    executable: CUgraphExec,
    /// Held while it is launched: the driver does not promise to order calls about one graph from several threads.
    launching: Mutex<()>,
    device: Device,
    calls: Vec<Call>,
}

// SAFETY: the driver's functions on graphs may be called from any thread, one at a time for one graph.
unsafe impl Send for Recorded {}
// SAFETY: `launching` lets one thread at a time launch it, and nothing else is done with it while it is shared.
unsafe impl Sync for Recorded {}

impl Graph {
    /// Records `calls`, which will run one after the other, as in a stream. Nothing is run.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] as the driver says, [`DeviceError::OtherDevice`] if a call is of another GPU.
    pub fn record(device: &Device, calls: &[Call]) -> Result<Graph, DeviceError> {
        // A stream of its own, so that nobody else's work is caught in the recording.
        let stream = Stream::new(device)?;
        device.bind()?;
        // SAFETY: the stream is live and its own. Other threads may go on using the driver.
        unsafe {
            result::stream::begin_capture(stream.raw(), CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        }
        .map_err(failed("recording a graph"))?;
        let launched = calls.iter().try_for_each(|call| call.record(&stream));
        // A recording that was begun is ended in any case: the stream could not be destroyed otherwise.
        // SAFETY: the stream is live and recording.
        let graph = unsafe { result::stream::end_capture(stream.raw()) };
        let graph = match (launched, graph) {
            (Ok(()), Ok(graph)) => graph,
            (Err(error), Ok(graph)) => {
                // SAFETY: the graph is live and destroyed once. A failure would leave nothing to do.
                let _ = unsafe { result::graph::destroy(graph) };
                return Err(error);
            }
            (Err(error), Err(_)) => return Err(error),
            (Ok(()), Err(error)) => return Err(failed("recording a graph")(error)),
        };
        // SAFETY: the graph is live.
        let executable = match unsafe { result::graph::instantiate(graph, CUgraphInstantiate_flags(0)) } {
            Ok(executable) => executable,
            Err(error) => {
                // SAFETY: as above.
                let _ = unsafe { result::graph::destroy(graph) };
                return Err(failed("making a graph of a recording")(error));
            }
        };
        Ok(Graph(Arc::new(Recorded {
            graph,
            executable,
            launching: Mutex::new(()),
            device: device.clone(),
            calls: calls.to_vec(),
        })))
    }

    /// The calls it runs.
    pub fn calls(&self) -> &[Call] {
        &self.0.calls
    }

    /// Puts all its calls into the stream's queue.
    ///
    /// # Errors
    /// [`DeviceError::Failed`] as the driver says, which may be about work queued earlier.
    pub fn launch(&self, stream: &Stream) -> Result<(), DeviceError> {
        if !self.0.device.is(stream.device()) {
            return Err(DeviceError::OtherDevice { what: "the stream" });
        }
        self.0.device.bind()?;
        let _one_at_a_time = self.0.launching.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the graph and the stream are live, and so are the functions and buffers of its calls, which it holds.
        unsafe { result::graph::launch(self.0.executable, stream.raw()) }.map_err(failed("launching a graph"))
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: both are live and destroyed once. A failure would leave nothing to do.
            let _ = unsafe { result::graph::exec_destroy(self.executable) };
            // SAFETY: as above.
            let _ = unsafe { result::graph::destroy(self.graph) };
        }
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Graph({} calls)", self.0.calls.len())
    }
}
