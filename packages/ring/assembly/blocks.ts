// What all kernels are made of: pointers are byte offsets in the shared memory; nothing is kept between calls.

export const VECTOR_BYTES: usize = 16;
// BLOCK_SIZE of the layout, 256 values, in bytes.
export const BLOCK_BYTES: usize = 1024;
export const BLOCK_VALUES: usize = 256;

// The factor that turns values into quanta.
export function scaleOf(quantum: u8): f32 {
  return reinterpret<f32>((254 - <i32>quantum) << 23);
}
