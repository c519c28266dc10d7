/**
 * Multi-head self-attention: [batch, length, width] → the same shape.
 * Source: A. Vaswani et al., "Attention Is All You Need", 2017, section 3.2.2; tf.layers has no such layer.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { attention } from './attention.js';
import {
  glorotUniform,
  type Initializer,
  type InitializerConfig,
  initializerConfig,
  initializerFrom,
} from './initializers.js';

export interface SelfAttentionArgs {
  readonly name?: string;
  /** Divides the width. */
  readonly heads: number;
  /** True where a place may only attend to itself and to what stands before it. */
  readonly causal?: boolean;
  readonly kernelInitializer?: Initializer | InitializerConfig;
}

export class SelfAttention extends tfl.layers.Layer {
  static className = 'SelfAttention';
  private readonly heads: number;
  private readonly causal: boolean;
  private readonly kernelInitializer: Initializer;
  private weightsOf: Record<'projection' | 'projectionBias' | 'output' | 'outputBias', tfl.LayerVariable> | undefined;

  constructor(args: SelfAttentionArgs) {
    super(args as unknown as ConstructorParameters<typeof tfl.layers.Layer>[0]);
    this.heads = args.heads;
    this.causal = args.causal ?? false;
    this.kernelInitializer = initializerFrom(args.kernelInitializer, glorotUniform);
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const width = (inputShape as number[])[2];
    if (width % this.heads !== 0) throw new Error(`${this.heads} heads do not divide a width of ${width}`);
    const zeros = tfl.initializers.zeros();
    this.weightsOf = {
      projection: this.addWeight('projection', [width, 3 * width], 'float32', this.kernelInitializer),
      projectionBias: this.addWeight('projection_bias', [3 * width], 'float32', zeros),
      output: this.addWeight('output', [width, width], 'float32', this.kernelInitializer),
      outputBias: this.addWeight('output_bias', [width], 'float32', zeros),
    };
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const [x] = [inputs].flat();
      const [count, length, width] = x.shape as [number, number, number];
      const { projection, projectionBias, output, outputBias } = this.weightsOf as NonNullable<typeof this.weightsOf>;
      const flat = tf.reshape(x, [count * length, width]);
      const projected = tf.add(tf.matMul(flat, projection.read() as tf.Tensor2D), projectionBias.read());
      const mixed = this.attend(projected, count, length, width);
      const result = tf.add(tf.matMul(mixed, output.read() as tf.Tensor2D), outputBias.read());
      return tf.reshape(result, [count, length, width]);
    });
  }

  /** [count · length, 3 · width], queries, keys and values side by side, → [count · length, width]. */
  private attend(projected: tf.Tensor, count: number, length: number, width: number): tf.Tensor2D {
    const depth = width / this.heads;
    const byHead = tf.transpose(tf.reshape(projected, [count, length, 3, this.heads, depth]), [2, 0, 3, 1, 4]);
    const [queries, keys, values] = tf
      .split(byHead, 3, 0)
      .map((part) => tf.reshape(part, [count, this.heads, length, depth]));
    const mixed = attention(queries, keys, values, this.causal);
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [count * length, width]);
  }

  override computeOutputShape(inputShape: tfl.Shape | tfl.Shape[]): tfl.Shape | tfl.Shape[] {
    return inputShape;
  }

  override getConfig(): tf.serialization.ConfigDict {
    const { heads, causal, kernelInitializer } = this;
    return { ...super.getConfig(), heads, causal, kernelInitializer: initializerConfig(kernelInitializer) };
  }
}

tf.serialization.registerClass(SelfAttention);
