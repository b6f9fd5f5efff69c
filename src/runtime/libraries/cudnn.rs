//! Convolutions by cuDNN: whatever it may sum in another order, always by the same algorithm, and f32 without TF32.

use super::{Convolution, WORKSPACE};
use crate::dtype::DType;
use crate::runtime::{Buffer, Call, Device, DeviceError, Stream};
use cudarc::cudnn::{CudnnError, result, sys};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The functions that are called here; cudarc panics where one is missing.
const FUNCTIONS: [&str; 20] = [
    "cudnnAddTensor",
    "cudnnConvolutionBackwardData",
    "cudnnConvolutionForward",
    "cudnnCreate",
    "cudnnCreateConvolutionDescriptor",
    "cudnnCreateFilterDescriptor",
    "cudnnCreateTensorDescriptor",
    "cudnnDestroy",
    "cudnnDestroyConvolutionDescriptor",
    "cudnnDestroyFilterDescriptor",
    "cudnnDestroyTensorDescriptor",
    "cudnnGetConvolutionBackwardDataWorkspaceSize",
    "cudnnGetConvolutionForwardAlgorithm_v7",
    "cudnnGetConvolutionForwardWorkspaceSize",
    "cudnnSetConvolutionGroupCount",
    "cudnnSetConvolutionMathType",
    "cudnnSetConvolutionNdDescriptor",
    "cudnnSetFilterNdDescriptor",
    "cudnnSetStream",
    "cudnnSetTensorNdDescriptor",
];

/// Whether the library is on this machine and whole.
pub fn ready() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| {
        // SAFETY: this only opens and closes libraries of that name, whose initialisers have no conditions.
        if !unsafe { sys::is_culib_present() } {
            return false;
        }
        // SAFETY: the line above says that the library can be opened, so this does not panic.
        let library = unsafe { sys::culib() };
        // SAFETY: the addresses are never called or read.
        FUNCTIONS.into_iter().all(|name| unsafe { library.get::<*const ()>(name.as_bytes()) }.is_ok())
    })
}

/// A handle of the library on one GPU, which one thread at a time may use.
struct Handle(Mutex<sys::cudnnHandle_t>);

// SAFETY: the lock lets one thread at a time use the handle, and the library asks for no more.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    fn lock(&self) -> MutexGuard<'_, sys::cudnnHandle_t> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn handle(device: &Device) -> Option<Arc<Handle>> {
    static HANDLES: Mutex<BTreeMap<usize, Option<Arc<Handle>>>> = Mutex::new(BTreeMap::new());
    let mut handles = HANDLES.lock().unwrap_or_else(PoisonError::into_inner);
    let made = handles.entry(device.info().ordinal).or_insert_with(|| {
        device.bind().ok()?;
        result::create_handle().ok().map(|handle| Arc::new(Handle(Mutex::new(handle))))
    });
    made.clone()
}

/// The descriptors of a convolution; null until they are made.
struct Prepared {
    handle: Arc<Handle>,
    x: sys::cudnnTensorDescriptor_t,
    y: sys::cudnnTensorDescriptor_t,
    bias: sys::cudnnTensorDescriptor_t,
    w: sys::cudnnFilterDescriptor_t,
    conv: sys::cudnnConvolutionDescriptor_t,
    how: How,
}

/// The way of the library, always the same for one convolution.
#[derive(Clone, Copy)]
enum How {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    Transposed(sys::cudnnConvolutionBwdDataAlgo_t),
}

// SAFETY: descriptors are not changed once the call is made, and the library only reads them.
unsafe impl Send for Prepared {}
// SAFETY: as above.
unsafe impl Sync for Prepared {}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: each that is not null was created and is destroyed once. A failure would leave nothing to do.
        unsafe {
            for tensor in [self.x, self.y, self.bias].into_iter().filter(|d| !d.is_null()) {
                let _ = result::destroy_tensor_descriptor(tensor);
            }
            if !self.w.is_null() {
                let _ = result::destroy_filter_descriptor(self.w);
            }
            if !self.conv.is_null() {
                let _ = result::destroy_convolution_descriptor(self.conv);
            }
        }
    }
}

pub fn call(
    device: &Device,
    convolution: &Convolution,
    operands: &[Buffer],
    to: &Buffer,
    workspace: &Buffer,
) -> Option<Call> {
    if operands.len() != 2 + usize::from(convolution.bias) || !ready() {
        return None;
    }
    let handle = handle(device)?;
    device.bind().ok()?;
    let null = std::ptr::null_mut;
    let how = How::Transposed(sys::cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1);
    let mut prepared =
        Prepared { handle, x: null(), y: null(), bias: null(), w: null().cast(), conv: null().cast(), how };
    prepared.describe(convolution).ok()?;
    prepared.how = prepared.choose(convolution.transposed)?;
    let (operands, to, workspace) = (operands.to_vec(), to.clone(), workspace.clone());
    let run = move |stream: &Stream| {
        let failed = |error: CudnnError| DeviceError::Failed { call: "convolving by cuDNN", code: error.to_string() };
        prepared.run(stream, &operands, &to, &workspace).map_err(failed)
    };
    Some(Call::of_library(device, "cudnnConvolution", Arc::new(run)))
}

/// The strides of a dense tensor of (images, channels, spatial…).
fn strides(sizes: &[i32], channels_last: bool) -> Vec<i32> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    if channels_last {
        order.remove(1);
        order.push(1);
    }
    let mut strides = vec![1; sizes.len()];
    let mut step = 1;
    for axis in order.into_iter().rev() {
        strides[axis] = step;
        step *= sizes[axis];
    }
    strides
}

impl Prepared {
    fn describe(&mut self, of: &Convolution) -> Result<(), CudnnError> {
        let dtype = match of.dtype {
            DType::F16 => sys::cudnnDataType_t::CUDNN_DATA_HALF,
            DType::BF16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
            _ => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
        };
        let axes = of.input.len() as i32;
        self.x = result::create_tensor_descriptor()?;
        self.y = result::create_tensor_descriptor()?;
        self.w = result::create_filter_descriptor()?;
        self.conv = result::create_convolution_descriptor()?;
        let (x, y) = (strides(&of.input, of.channels_last), strides(&of.output, of.channels_last));
        let format = match of.channels_last {
            true => sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC,
            false => sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW,
        };
        let math = match of.dtype {
            DType::F32 => sys::cudnnMathType_t::CUDNN_FMA_MATH,
            _ => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
        };
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let compute = sys::cudnnDataType_t::CUDNN_DATA_FLOAT;
        let (pads, steps, dilations) = (of.pads.as_ptr(), of.strides.as_ptr(), of.dilations.as_ptr());
        // SAFETY: all descriptors have just been created; every list has as many entries as there are axes, and outlives its call.
        unsafe {
            result::set_tensornd_descriptor(self.x, dtype, axes, of.input.as_ptr(), x.as_ptr())?;
            result::set_tensornd_descriptor(self.y, dtype, axes, of.output.as_ptr(), y.as_ptr())?;
            result::set_filternd_descriptor(self.w, dtype, format, axes, of.weights.as_ptr())?;
            result::set_convolutionnd_descriptor(self.conv, axes - 2, pads, steps, dilations, mode, compute)?;
            result::set_convolution_group_count(self.conv, of.groups)?;
            result::set_convolution_math_type(self.conv, math)?;
        }
        if of.bias {
            let mut sizes = vec![1; of.output.len()];
            sizes[1] = of.output[1];
            let steps = strides(&sizes, false);
            self.bias = result::create_tensor_descriptor()?;
            // SAFETY: as above.
            unsafe { result::set_tensornd_descriptor(self.bias, dtype, axes, sizes.as_ptr(), steps.as_ptr())? };
        }
        Ok(())
    }

    /// The library's first choice that fits the workspace; of a transposed convolution the way that always sums in the same order.
    fn choose(&self, transposed: bool) -> Option<How> {
        let handle = self.handle.lock();
        let Prepared { x, y, w, conv, .. } = *self;
        if transposed {
            let way = sys::cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
            // SAFETY: the handle and all descriptors are live.
            let room = unsafe { result::get_convolution_backward_data_workspace_size(*handle, w, x, conv, y, way) };
            return room.ok().filter(|room| *room as u64 <= WORKSPACE).map(|_| How::Transposed(way));
        }
        let (mut count, mut found) =
            (0, [const { std::mem::MaybeUninit::<sys::cudnnConvolutionFwdAlgoPerf_t>::uninit() }; 8]);
        // SAFETY: the handle and all descriptors are live, and there is room for as many results as are asked for.
        unsafe {
            result::get_convolution_forward_algorithm(*handle, x, w, conv, y, 8, &mut count, found.as_mut_ptr().cast())
        }
        .ok()?;
        found.iter().take(usize::try_from(count).ok()?.min(8)).find_map(|way| {
            // SAFETY: the library has filled in so many.
            let way = unsafe { way.assume_init_ref() }.algo;
            // SAFETY: as above.
            let room = unsafe { result::get_convolution_forward_workspace_size(*handle, x, w, conv, y, way) };
            room.ok().filter(|room| *room as u64 <= WORKSPACE).map(|_| How::Forward(way))
        })
    }

    fn run(&self, stream: &Stream, operands: &[Buffer], to: &Buffer, workspace: &Buffer) -> Result<(), CudnnError> {
        let handle = self.handle.lock();
        let (one, zero) = (1.0f32, 0.0f32);
        let (one, zero): (*const c_void, *const c_void) = ((&raw const one).cast(), (&raw const zero).cast());
        let address = |buffer: &Buffer| buffer.pointer() as *mut c_void;
        let (from, weights, result_at, room) =
            (address(&operands[0]), address(&operands[1]), address(to), WORKSPACE as usize);
        let space = address(workspace);
        let Prepared { x, y, w, conv, .. } = *self;
        // SAFETY: handle, descriptors, stream and buffers are live; the descriptors were made of the sizes that the engine has checked
        // the buffers for; the workspace is as large as the way was chosen for.
        unsafe {
            result::set_stream(*handle, stream.raw().cast())?;
            match self.how {
                How::Forward(way) => result::convolution_forward(
                    *handle, one, x, from, w, weights, conv, way, space, room, zero, y, result_at,
                ),
                How::Transposed(way) => result::convolution_backward_data(
                    *handle, one, w, weights, x, from, conv, way, space, room, zero, y, result_at,
                ),
            }?;
            if let Some(bias) = operands.get(2) {
                sys::cudnnAddTensor(*handle, one, self.bias, address(bias), one, y, result_at).result()?;
            }
        }
        Ok(())
    }
}
