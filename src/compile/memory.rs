//! What the C library does with memory that NVRTC gives back.
//!
//! NVRTC allocates and frees some ten megabytes for each program. By default the C library returns such memory to the system at once, and gets
//! it back page by page, zeroed, for the next program: a sixth to a quarter of what a small kernel takes to compile (benches/NOTES.md).

/// Has the C library keep up to 128 MiB of freed memory in each of its arenas, and ask the system for 16 MiB at a time. It holds for the
/// whole process, so it is for the program to decide and not for the library: the command line calls it first of all.
/// False where the C library is not glibc, or refuses; nothing is changed then.
pub fn keep_freed_memory() -> bool {
    set(&[(M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 128 << 20), (M_TOP_PAD, 16 << 20)])
}

/// Parameters of `mallopt`, by malloc.h of glibc.
const M_TRIM_THRESHOLD: i32 = -1;
const M_TOP_PAD: i32 = -2;
const M_MMAP_THRESHOLD: i32 = -3;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set(parameters: &[(i32, i32)]) -> bool {
    unsafe extern "C" {
        fn mallopt(parameter: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
    }
    // SAFETY: mallopt takes its own lock, and may be called at any time with any numbers.
    parameters.iter().all(|&(parameter, value)| unsafe { mallopt(parameter, value) } == 1)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set(_: &[(i32, i32)]) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glibc_takes_every_parameter() {
        assert_eq!(keep_freed_memory(), cfg!(all(target_os = "linux", target_env = "gnu")));
    }
}
