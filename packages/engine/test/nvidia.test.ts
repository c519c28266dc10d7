import { describe, expect, it } from 'vitest';
import { firstModel } from '../src/ort/nvidia.js';

describe('the device that CUDA takes as its first', () => {
  it.each([
    [undefined, 'NVIDIA A10'],
    ['1', 'NVIDIA L4'],
    ['1,0', 'NVIDIA L4'],
    ['', 'NVIDIA A10'],
    ['GPU-5ad0', 'NVIDIA A10'],
    ['7', undefined],
  ])('with CUDA_VISIBLE_DEVICES %j is %s', (visible, model) => {
    expect(firstModel(['NVIDIA A10', 'NVIDIA L4'], { CUDA_VISIBLE_DEVICES: visible })).toBe(model);
  });
});
