//! Dropout masks on a device, without making or sending random numbers in every pass.
//!
//! A long strip of mask values is made once for each device, probability and type; a mask is a window of it, and the mask's key says
//! where the window begins. A mask is so a function of its key and shape alone, as on the CPU, though not the same one. On the CPU
//! itself the composed operations take the fused ones' masks, to be comparable with them.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, DeviceLocation, Result, Tensor};

use crate::op::linear::drop_out;
use crate::op::math::mix;

/// Values that a strip has beyond the largest mask: as many places where a window may begin.
const SPARE: usize = 1 << 20;
/// Keys of the strips.
const STRIP: u64 = 0x5745_4156_4552_4543;

/// The strips made so far, by device, probability and type.
static STRIPS: Mutex<Vec<(DeviceLocation, u32, DType, Tensor)>> = Mutex::new(Vec::new());

/// Of `shape`: 0 with probability `p`, otherwise 1 / (1 − p).
pub(super) fn mask(shape: (usize, usize), p: f32, key: u64, dtype: DType, device: &Device) -> Result<Tensor> {
    let count = shape.0 * shape.1;
    if device.is_cpu() {
        let mut values = vec![1.0f32; count];
        drop_out(&mut values, p, key);
        return Tensor::from_vec(values, shape, device)?.to_dtype(dtype);
    }
    window(shape, p, key, dtype, device)
}

fn window(shape: (usize, usize), p: f32, key: u64, dtype: DType, device: &Device) -> Result<Tensor> {
    let count = shape.0 * shape.1;
    let strip = strip(count, p, dtype, device)?;
    strip.narrow(0, start(key), count)?.reshape(shape)
}

/// Where the window of a key begins; whatever the length of the strip, so that a longer one changes no mask.
fn start(key: u64) -> usize {
    mix(key) as usize % SPARE
}

fn strip(count: usize, p: f32, dtype: DType, device: &Device) -> Result<Tensor> {
    let mut strips = STRIPS.lock().unwrap_or_else(PoisonError::into_inner);
    let of = (device.location(), p.to_bits(), dtype);
    let place = strips.iter().position(|s| (s.0, s.1, s.2) == of);
    if let Some((.., strip)) = place.map(|place| &strips[place])
        && strip.elem_count() >= SPARE + count
    {
        return Ok(strip.clone());
    }
    let mut values = vec![1.0f32; SPARE + count.next_power_of_two()];
    drop_out(&mut values, p, STRIP);
    let strip = Tensor::from_vec(values, SPARE + count.next_power_of_two(), device)?.to_dtype(dtype)?;
    if let Some(place) = place {
        strips.swap_remove(place);
    }
    strips.push((of.0, of.1, of.2, strip.clone()));
    Ok(strip)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn values(rows: usize, p: f32, key: u64) -> Vec<f32> {
        let mask = window((rows, 32), p, key, DType::F32, &Device::Cpu).unwrap();
        mask.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_mask_drops_its_share_and_keeps_the_mean() {
        let mask = values(200, 0.25, 7);
        let dropped = mask.iter().filter(|m| **m == 0.0).count() as f64 / mask.len() as f64;
        assert!((0.23..0.27).contains(&dropped), "{dropped}");
        assert!(mask.iter().all(|m| *m == 0.0 || (*m - 4.0 / 3.0).abs() < 1e-6));
    }

    #[test]
    fn a_mask_is_its_keys_whatever_was_asked_for_before() {
        let before = values(3, 0.5, 11);
        assert_ne!(before, values(3, 0.5, 12));
        // A mask that the strip is too short for makes it longer.
        values(1 << 16, 0.5, 13);
        assert_eq!(before, values(3, 0.5, 11));
        assert_eq!(before, values(9, 0.5, 11)[..96]);
    }
}
