//! The name of a GPU architecture: `sm_75` … `sm_121`, and the variants whose machine code runs on fewer GPUs (`sm_90a`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The architectures NVRTC 13.5 compiles for (`nvrtcGetSupportedArchs`), oldest first.
const NUMBERS: [u16; 13] = [75, 80, 86, 87, 88, 89, 90, 100, 103, 107, 110, 120, 121];

/// On which GPUs the machine code of an architecture runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Variant {
    /// `sm_90`: GPUs of this major version with this or a later minor version.
    Portable,
    /// `sm_100f`: GPUs of this family, with the features that the family shares.
    Family,
    /// `sm_90a`: this architecture alone, with everything it has (wgmma on `sm_90a`, tcgen05 on `sm_100a`).
    Exact,
}

/// A GPU architecture that kernels are compiled for, ordered from the oldest to the newest.
///
/// ```
/// use pointweld::target::Arch;
/// let arch: Arch = "sm_90a".parse()?;
/// assert_eq!((arch.major(), arch.minor()), (9, 0));
/// assert_eq!(arch.virtual_name(), "compute_90a");
/// assert!(Arch::SM_80 < arch);
/// # Ok::<(), pointweld::target::UnknownArch>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arch {
    number: u16,
    variant: Variant,
}

/// A text that names no architecture of [`Arch::all`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{found}` is no GPU architecture that pointweld knows; write one of {}{}", known(), nearest(.found))]
pub struct UnknownArch {
    /// The text that was given.
    pub found: String,
}

impl Arch {
    /// Turing (T4, RTX 20).
    pub const SM_75: Arch = Arch::portable(75);
    /// Ampere, data centre (A100).
    pub const SM_80: Arch = Arch::portable(80);
    /// Ampere (A10, RTX 30).
    pub const SM_86: Arch = Arch::portable(86);
    /// Ampere, Jetson Orin.
    pub const SM_87: Arch = Arch::portable(87);
    /// Ada (L4, L40S, RTX 40).
    pub const SM_89: Arch = Arch::portable(89);
    /// Hopper (H100, H200).
    pub const SM_90: Arch = Arch::portable(90);
    /// Hopper with wgmma; its code runs on no other architecture.
    pub const SM_90A: Arch = Arch { number: 90, variant: Variant::Exact };
    /// Blackwell, data centre (B200).
    pub const SM_100: Arch = Arch::portable(100);
    /// Blackwell Ultra (B300).
    pub const SM_103: Arch = Arch::portable(103);
    /// Blackwell, Jetson Thor.
    pub const SM_110: Arch = Arch::portable(110);
    /// Blackwell (RTX 50, RTX PRO).
    pub const SM_120: Arch = Arch::portable(120);
    /// Blackwell, DGX Spark (GB10).
    pub const SM_121: Arch = Arch::portable(121);

    const fn portable(number: u16) -> Arch {
        Arch { number, variant: Variant::Portable }
    }

    /// Every architecture without its variants, oldest first.
    pub fn all() -> impl Iterator<Item = Arch> {
        NUMBERS.into_iter().map(Arch::portable)
    }

    /// The architecture of a GPU of compute capability `major.minor`, as a driver reports it.
    ///
    /// A minor version newer than any known gives the newest known one of its major version, whose code it runs;
    /// a GPU older than Turing or of an unknown major version gives `None`.
    pub fn of_device(major: u32, minor: u32) -> Option<Arch> {
        Arch::all().filter(|arch| arch.major() == major && arch.minor() <= minor).last()
    }

    /// The major version of the compute capability: 9 for `sm_90a`.
    pub fn major(self) -> u32 {
        u32::from(self.number / 10)
    }

    /// The minor version of the compute capability: 0 for `sm_90a`.
    pub fn minor(self) -> u32 {
        u32::from(self.number % 10)
    }

    /// `__CUDA_ARCH__ / 10`: 90 for `sm_90a`.
    pub fn number(self) -> u32 {
        u32::from(self.number)
    }

    /// True for an `a` variant, whose code runs on this architecture alone.
    pub fn is_exact(self) -> bool {
        self.variant == Variant::Exact
    }

    /// The architecture without its variant: `sm_90` for `sm_90a`.
    pub fn base(self) -> Arch {
        Arch::portable(self.number)
    }

    /// NVRTC's name of the virtual architecture, which gives PTX: `compute_90a`.
    pub fn virtual_name(self) -> String {
        format!("compute_{}{}", self.number, self.suffix())
    }

    /// True if machine code (a cubin) for this architecture runs on a GPU of architecture `device`.
    ///
    /// Machine code runs on later minor versions of its major version, an `a` variant on its own architecture only.
    /// A family variant counts as an exact one here: which members a family has is only known to a driver.
    pub fn runs_on(self, device: Arch) -> bool {
        match self.variant {
            Variant::Portable => self.major() == device.major() && self.minor() <= device.minor(),
            Variant::Family | Variant::Exact => self.number == device.number,
        }
    }

    fn suffix(self) -> &'static str {
        match self.variant {
            Variant::Portable => "",
            Variant::Family => "f",
            Variant::Exact => "a",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm_{}{}", self.number, self.suffix())
    }
}

impl fmt::Debug for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Arch {
    type Err = UnknownArch;

    /// Reads `sm_90a`, `compute_90a`, `90a` or the compute capability `9.0`.
    fn from_str(text: &str) -> Result<Arch, UnknownArch> {
        let unknown = || UnknownArch { found: text.to_owned() };
        let (number, variant) = split(text).ok_or_else(unknown)?;
        // `a` variants came with Hopper, families with Blackwell.
        let since = match variant {
            Variant::Portable => 0,
            Variant::Exact => 90,
            Variant::Family => 100,
        };
        if NUMBERS.contains(&number) && number >= since { Ok(Arch { number, variant }) } else { Err(unknown()) }
    }
}

/// Splits a name of an architecture, known or not, into its number and its variant.
fn split(text: &str) -> Option<(u16, Variant)> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.strip_prefix("sm_").or_else(|| lower.strip_prefix("compute_")).unwrap_or(&lower);
    let (digits, variant) = match digits.strip_suffix('a') {
        Some(rest) => (rest, Variant::Exact),
        None => match digits.strip_suffix('f') {
            Some(rest) => (rest, Variant::Family),
            None => (digits, Variant::Portable),
        },
    };
    let number = match digits.split_once('.') {
        Some((major, minor)) if minor.len() == 1 => format!("{major}{minor}").parse().ok()?,
        Some(_) => return None,
        None => digits.parse().ok()?,
    };
    Some((number, variant))
}

fn known() -> String {
    let names: Vec<String> = Arch::all().map(|arch| arch.to_string()).collect();
    format!("{} (sm_90a and later also with `a`)", names.join(", "))
}

/// What to write instead, for a number that lies between known ones or before them.
fn nearest(found: &str) -> String {
    match split(found) {
        Some((number, _)) if (30..75).contains(&number) => {
            "; architectures before Turing (sm_75) have left the CUDA compiler".to_owned()
        }
        Some((number, _)) if number >= 75 => Arch::all()
            .filter(|arch| arch.number <= number)
            .last()
            .map(|arch| format!("; the nearest is {arch}"))
            .unwrap_or_default(),
        _ => String::new(),
    }
}

impl TryFrom<String> for Arch {
    type Error = UnknownArch;

    fn try_from(text: String) -> Result<Arch, UnknownArch> {
        text.parse()
    }
}

impl From<Arch> for String {
    fn from(arch: Arch) -> String {
        arch.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for arch in Arch::all() {
            assert_eq!(arch.to_string().parse(), Ok(arch));
            assert_eq!(arch.virtual_name().parse(), Ok(arch));
            assert_eq!(arch.number().to_string().parse(), Ok(arch));
            assert_eq!(format!("{}.{}", arch.major(), arch.minor()).parse(), Ok(arch));
            let json = serde_json::to_string(&arch).unwrap();
            assert_eq!(json, format!("\"{arch}\""));
            assert_eq!(serde_json::from_str::<Arch>(&json).unwrap(), arch);
        }
        assert_eq!("SM_90A".parse(), Ok(Arch::SM_90A));
        assert_eq!("sm_100f".parse::<Arch>().unwrap().to_string(), "sm_100f");
    }

    #[test]
    fn what_is_no_architecture_is_refused_with_advice() {
        for text in [
            "", "sm_", "sm_91", "sm_80a", "sm_90f", "9.00", "9.", "-90", "sm_70", "hopper", "sm_900", "sm_99999", "9é",
            "sm_90aa", "sm_90 a",
        ] {
            let error = text.parse::<Arch>().unwrap_err();
            assert_eq!(error.found, text);
            assert!(error.to_string().contains("sm_90"), "{error}");
        }
        let error = "sm_70".parse::<Arch>().unwrap_err().to_string();
        assert!(error.contains("before Turing"), "{error}");
        let error = "sm_91".parse::<Arch>().unwrap_err().to_string();
        assert!(error.ends_with("the nearest is sm_90"), "{error}");
        assert!(serde_json::from_str::<Arch>("\"sm_91\"").is_err());
    }

    #[test]
    fn order_is_by_age() {
        assert!(Arch::SM_89 < Arch::SM_90);
        assert!(Arch::SM_90 < Arch::SM_90A);
        assert!(Arch::SM_90A < Arch::SM_100);
    }

    #[test]
    fn machine_code_runs_on_later_minor_versions_only() {
        assert!(Arch::SM_80.runs_on(Arch::SM_89));
        assert!(!Arch::SM_89.runs_on(Arch::SM_80));
        assert!(!Arch::SM_80.runs_on(Arch::SM_90));
        assert!(Arch::SM_90A.runs_on(Arch::SM_90));
        assert!(!"sm_120a".parse::<Arch>().unwrap().runs_on(Arch::SM_121));
    }

    #[test]
    fn a_device_of_a_newer_minor_version_takes_the_newest_known() {
        assert_eq!(Arch::of_device(9, 0), Some(Arch::SM_90));
        assert_eq!(Arch::of_device(12, 5), Some(Arch::SM_121));
        assert_eq!(Arch::of_device(7, 0), None);
        assert_eq!(Arch::of_device(13, 0), None);
    }
}
