// The three wire formats.

// Four sums as int32, from T.
export function loadWide<T>(at: usize): v128 {
  if (sizeof<T>() === 4) return v128.load(at);
  if (sizeof<T>() === 2) return v128.load_ext<i16>(at);
  return i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load_splat<u32>(at)));
}

// The same, to T; they fit.
export function storeNarrow<T>(at: usize, wide: v128): void {
  if (sizeof<T>() === 4) {
    v128.store(at, wide);
  } else {
    const short = i16x8.narrow_i32x4_s(wide, wide);
    if (sizeof<T>() === 2) v128.store_lane<u64>(at, short, 0);
    else v128.store_lane<u32>(at, i8x16.narrow_i16x8_s(short, short), 0);
  }
}
