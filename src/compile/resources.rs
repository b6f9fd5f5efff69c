//! What a kernel takes of an SM, read from the words of ptxas.

use serde::{Deserialize, Serialize};

/// What one kernel takes of an SM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of registers that a thread stores to local memory because it ran out of them.
    pub spill_stores: u32,
    /// Bytes it loads back.
    pub spill_loads: u32,
    /// Bytes of static shared memory of a block.
    pub shared: u32,
    /// Bytes of a thread's stack in local memory.
    pub stack: u32,
    /// Named barriers of a block.
    pub barriers: u32,
}

/// The resources of `kernel` in ptxas's log of `--ptxas-options=-v`; `None` if the log does not name it.
///
/// The log has a block of lines for each kernel:
/// ```text
/// ptxas info    : Compiling entry function 'silu' for 'sm_90'
/// ptxas info    : Function properties for silu
/// ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
/// ptxas info    : Used 20 registers, used 1 barriers, 1024 bytes smem
/// ```
pub(super) fn resources_of(log: &str, kernel: &str) -> Option<Resources> {
    let mut found: Option<Resources> = None;
    let mut inside = false;
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            inside = rest.split('\'').next() == Some(kernel);
        } else if inside {
            for (number, what) in line.split(',').filter_map(amount) {
                let resources = found.get_or_insert_default();
                match what {
                    "registers" => resources.registers = number,
                    "barriers" => resources.barriers = number,
                    "bytes smem" => resources.shared = number,
                    "bytes stack frame" => resources.stack = number,
                    "bytes spill stores" => resources.spill_stores = number,
                    "bytes spill loads" => resources.spill_loads = number,
                    _ => {}
                }
            }
        }
    }
    found
}

/// The number in `ptxas info : Used 20 registers` or ` 0 bytes spill stores`, and what it counts.
fn amount(part: &str) -> Option<(u32, &str)> {
    let start = part.find(|c: char| c.is_ascii_digit())?;
    let (number, what) = part[start..].split_once(' ')?;
    Some((number.parse().ok()?, what.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'empty' for 'sm_90'
ptxas info    : Function properties for empty
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 4 registers, used 0 barriers
ptxas info    : Compile time = 1.057 ms
ptxas info    : Compiling entry function 'silu' for 'sm_90'
ptxas info    : Function properties for silu
ptxas         .     256 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 64 registers, used 1 barriers, 256 bytes cumulative stack size, 1024 bytes smem, 4 bytes cmem[2]
ptxas info    : Compile time = 18.126 ms
";

    #[test]
    fn each_kernel_gets_its_own_lines() {
        let empty = Resources { registers: 4, ..Resources::default() };
        assert_eq!(resources_of(LOG, "empty"), Some(empty));
        let silu = Resources { registers: 64, spill_stores: 12, spill_loads: 8, shared: 1024, stack: 256, barriers: 1 };
        assert_eq!(resources_of(LOG, "silu"), Some(silu));
    }

    #[test]
    fn a_kernel_that_is_not_there_has_none() {
        assert_eq!(resources_of(LOG, "sil"), None);
        assert_eq!(resources_of("", "silu"), None);
    }
}
