//! Matrix products by cuBLASLt.
//!
//! It counts columns first: a row-major d = a·b is to it the product of b transposed and a transposed, whose memory is read as it lies.

use super::{Matmul, WORKSPACE};
use crate::dtype::DType;
use crate::runtime::{Buffer, Call, Device, DeviceError, Stream};
use cudarc::cublaslt::{result, sys};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The functions that are called here; cudarc panics where one is missing.
const FUNCTIONS: [&str; 12] = [
    "cublasLtCreate",
    "cublasLtDestroy",
    "cublasLtMatmul",
    "cublasLtMatmulAlgoGetHeuristic",
    "cublasLtMatmulDescCreate",
    "cublasLtMatmulDescDestroy",
    "cublasLtMatmulDescSetAttribute",
    "cublasLtMatmulPreferenceCreate",
    "cublasLtMatmulPreferenceDestroy",
    "cublasLtMatmulPreferenceSetAttribute",
    "cublasLtMatrixLayoutCreate",
    "cublasLtMatrixLayoutDestroy",
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
        let has = |name: &str| unsafe { library.get::<*const ()>(name.as_bytes()) }.is_ok();
        FUNCTIONS.into_iter().all(has) && has("cublasLtMatrixLayoutSetAttribute")
    })
}

/// A handle of the library on one GPU; each lives as long as the process.
struct Handle(sys::cublasLtHandle_t);

// SAFETY: the library's functions may be called with one handle from any thread, and from several at a time.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

fn handle(device: &Device) -> Option<Arc<Handle>> {
    static HANDLES: Mutex<BTreeMap<usize, Option<Arc<Handle>>>> = Mutex::new(BTreeMap::new());
    let mut handles = HANDLES.lock().unwrap_or_else(PoisonError::into_inner);
    let made = handles.entry(device.info().ordinal).or_insert_with(|| {
        device.bind().ok()?;
        result::create_handle().ok().map(|handle| Arc::new(Handle(handle)))
    });
    made.clone()
}

/// Descriptors of one product, and the algorithm chosen for it.
struct Prepared {
    handle: Arc<Handle>,
    desc: sys::cublasLtMatmulDesc_t,
    left: sys::cublasLtMatrixLayout_t,
    right: sys::cublasLtMatrixLayout_t,
    to: sys::cublasLtMatrixLayout_t,
    algorithm: Option<sys::cublasLtMatmulAlgo_t>,
    codes: bool,
}

// SAFETY: descriptors are not changed once the call is made, and the library only reads them.
unsafe impl Send for Prepared {}
// SAFETY: as above.
unsafe impl Sync for Prepared {}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: each was created and is destroyed once. A failure would leave nothing to do.
        unsafe {
            let _ = result::destroy_matmul_desc(self.desc);
            for layout in [self.left, self.right, self.to] {
                let _ = result::destroy_matrix_layout(layout);
            }
        }
    }
}

/// Which of the two axes of a factor is adjacent in memory, and the step along the other; `None` if neither is.
fn adjacent([row, column, _]: [i64; 3], rows: u64, columns: u64) -> Option<(bool, i64)> {
    match () {
        () if column == 1 && row >= columns as i64 => Some((true, row)),
        () if row == 1 && column >= rows as i64 => Some((false, column)),
        () if column == 1 && rows == 1 => Some((true, columns as i64)),
        () if row == 1 && columns == 1 => Some((false, rows as i64)),
        () => None,
    }
}

pub fn call(device: &Device, matmul: &Matmul, operands: &[Buffer], to: &Buffer, workspace: &Buffer) -> Option<Call> {
    let [a, b] = operands else { return None };
    let codes = matmul.dtype == DType::I8;
    let Matmul { m, n, k, .. } = *matmul;
    // In terms of columns: `left` is b, n by k, and `right` is a, k by m.
    let (b_rows, b_step) = adjacent(matmul.b, k, n)?;
    let (a_rows, a_step) = adjacent(matmul.a, m, k)?;
    if !ready() {
        return None;
    }
    let handle = handle(device)?;
    device.bind().ok()?;
    use sys::cublasComputeType_t as Compute;
    use sys::cudaDataType as Type;
    let (element, result_type, compute, scale) = match matmul.dtype {
        DType::F32 => (Type::CUDA_R_32F, Type::CUDA_R_32F, Compute::CUBLAS_COMPUTE_32F, Type::CUDA_R_32F),
        DType::F16 => (Type::CUDA_R_16F, Type::CUDA_R_16F, Compute::CUBLAS_COMPUTE_32F, Type::CUDA_R_32F),
        DType::BF16 => (Type::CUDA_R_16BF, Type::CUDA_R_16BF, Compute::CUBLAS_COMPUTE_32F, Type::CUDA_R_32F),
        DType::I8 => (Type::CUDA_R_8I, Type::CUDA_R_32I, Compute::CUBLAS_COMPUTE_32I, Type::CUDA_R_32I),
        _ => return None,
    };
    let layout =
        |kind, rows: u64, columns: u64, step: i64| result::create_matrix_layout(kind, rows, columns, step).ok();
    // Rows of b adjacent: to the library columns of an n by k matrix. Columns adjacent: a k by n matrix, to be transposed.
    let left = if b_rows { layout(element, n, k, b_step)? } else { layout(element, k, n, b_step)? };
    let Some(right) = (if a_rows { layout(element, k, m, a_step) } else { layout(element, m, k, a_step) }) else {
        // SAFETY: it was created above and is destroyed once.
        let _ = unsafe { result::destroy_matrix_layout(left) };
        return None;
    };
    let (result_layout, desc) = (layout(result_type, n, m, n as i64), result::create_matmul_desc(compute, scale).ok());
    let (Some(d), Some(desc)) = (result_layout, desc) else {
        // SAFETY: as above; a leak of the other one, where memory is short, is all that can follow.
        unsafe {
            let _ = result::destroy_matrix_layout(left);
            let _ = result::destroy_matrix_layout(right);
        }
        return None;
    };
    let mut prepared = Prepared { handle, desc, left, right, to: d, algorithm: None, codes };
    let turned = |rows: bool| i32::from(!rows);
    prepared.attribute(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA, turned(b_rows))?;
    prepared.attribute(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSB, turned(a_rows))?;
    if matmul.batch > 1 {
        let count = i32::try_from(matmul.batch).ok()?;
        let dense = i64::try_from(m.checked_mul(n)?).ok()?;
        for (layout, step) in [(left, matmul.b[2]), (right, matmul.a[2]), (d, dense)] {
            use sys::cublasLtMatrixLayoutAttribute_t as Of;
            let (counted, stepped) =
                (Of::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, Of::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
            // SAFETY: the layout is live, and the values are of the attributes' types and outlive the calls.
            unsafe {
                result::set_matrix_layout_attribute(layout, counted, (&raw const count).cast(), size_of::<i32>())
                    .ok()?;
                result::set_matrix_layout_attribute(layout, stepped, (&raw const step).cast(), size_of::<i64>())
                    .ok()?;
            }
        }
    }
    prepared.algorithm = Some(prepared.choose()?);
    let (a, b, to, workspace) = (a.clone(), b.clone(), to.clone(), workspace.clone());
    let run = move |stream: &Stream| prepared.run(stream, &a, &b, &to, &workspace);
    Some(Call::of_library(device, "cublasLtMatmul", Arc::new(run)))
}

impl Prepared {
    fn attribute(&self, which: sys::cublasLtMatmulDescAttributes_t, value: i32) -> Option<()> {
        let pointer: *const c_void = (&raw const value).cast();
        // SAFETY: the descriptor is live, and the value is of the attribute's type and outlives the call.
        unsafe { result::set_matmul_desc_attribute(self.desc, which, pointer, size_of::<i32>()) }.ok()
    }

    /// The library's first choice within the workspace.
    fn choose(&self) -> Option<sys::cublasLtMatmulAlgo_t> {
        let wish = result::create_matmul_pref().ok()?;
        let room = WORKSPACE as usize;
        let which = sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        // SAFETY: all descriptors are live, and the value is of the attribute's type and outlives the call.
        let found = unsafe {
            result::set_matmul_pref_attribute(wish, which, (&raw const room).cast(), size_of::<usize>()).and_then(
                |()| {
                    let Prepared { handle, desc, left, right, to, .. } = self;
                    result::get_matmul_algo_heuristic(handle.0, *desc, *left, *right, *to, *to, wish)
                },
            )
        };
        // SAFETY: it was created above and is destroyed once.
        let _ = unsafe { result::destroy_matmul_pref(wish) };
        found.ok().map(|found| found.algo)
    }

    fn run(&self, stream: &Stream, a: &Buffer, b: &Buffer, to: &Buffer, workspace: &Buffer) -> Result<(), DeviceError> {
        let Some(algorithm) = &self.algorithm else { return Ok(()) };
        let (floats, codes) = ([1.0f32, 0.0], [1i32, 0]);
        let scalars: [*const c_void; 2] = match self.codes {
            true => [(&raw const codes[0]).cast(), (&raw const codes[1]).cast()],
            false => [(&raw const floats[0]).cast(), (&raw const floats[1]).cast()],
        };
        let address = |buffer: &Buffer| buffer.pointer() as *mut c_void;
        // SAFETY: descriptors, stream and buffers are live; the layouts were made of the sizes that the engine has checked the buffers
        // for; the workspace has as many bytes as the algorithm was chosen for.
        unsafe {
            result::matmul(
                self.handle.0,
                self.desc,
                scalars[0],
                scalars[1],
                address(b),
                self.left,
                address(a),
                self.right,
                address(to),
                self.to,
                address(to),
                self.to,
                algorithm,
                address(workspace),
                WORKSPACE as usize,
                stream.raw().cast(),
            )
        }
        .map_err(|error| DeviceError::Failed { call: "multiplying by cuBLASLt", code: error.to_string() })
    }
}
