/**
 * How far an engine may be off, relative to the largest value. NVIDIA's TF32 keeps 10 bits of a product's mantissa; and
 * now and then that moves a value across the bend of a relu. What is off by more than this is wrong.
 */
export const MAX_GRADIENT_ERROR = 5e-2;
