//! The variables of a space: where an access belongs, or whom to blame for one that belongs nowhere.

use crate::ptx::fault::{FaultKind, SpaceName};
use crate::ptx::program::Region;

/// The variable that an access lies in.
pub(super) fn place(
    regions: &[Region],
    space: SpaceName,
    addr: u64,
    size: usize,
    align: usize,
    write: bool,
) -> Result<&Region, Box<FaultKind>> {
    let end = addr.saturating_add(size as u64);
    let hit = regions.iter().find(|r| addr >= u64::from(r.start) && end <= u64::from(r.start + r.size));
    if let Some(region) = hit {
        if !addr.is_multiple_of(align as u64) {
            return Err(Box::new(FaultKind::Misaligned {
                space,
                write,
                size: align,
                address: addr,
                label: region.name.clone(),
                offset: addr as i64 - i64::from(region.start),
            }));
        }
        return Ok(region);
    }
    // Blame the variable that the address lies in or just behind.
    let near = regions.iter().filter(|r| addr >= u64::from(r.start)).max_by_key(|r| r.start).or(regions.first());
    Err(Box::new(match near {
        Some(r) if addr < u64::from(u32::MAX) => FaultKind::OutOfBounds {
            space,
            write,
            size,
            address: addr,
            label: r.name.clone(),
            offset: addr as i64 - i64::from(r.start),
            len: r.size as usize,
        },
        _ => FaultKind::Unmapped { space, write, size, address: addr },
    }))
}
