/**
 * Multi-head attention from one sequence to another: [query, value] or [query, value, key] → the query's shape.
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

export interface MultiHeadAttentionArgs {
  readonly name?: string;
  readonly heads: number;
  /** Numbers of a head's query and key. */
  readonly keyDepth: number;
  /** Numbers of a head's value; as many as of its key where left out. */
  readonly valueDepth?: number;
  /** True where a place may only attend to sources that do not stand after it. */
  readonly causal?: boolean;
  readonly kernelInitializer?: Initializer | InitializerConfig;
}

const PARTS = ['query', 'key', 'value', 'output'] as const;
type Part = (typeof PARTS)[number];

interface Projection {
  readonly kernel: tfl.LayerVariable;
  readonly bias: tfl.LayerVariable;
}

export class MultiHeadAttention extends tfl.layers.Layer {
  static className = 'MultiHeadAttention';
  private readonly heads: number;
  private readonly keyDepth: number;
  private readonly valueDepth: number;
  private readonly causal: boolean;
  private readonly kernelInitializer: Initializer;
  private projections: Record<Part, Projection> | undefined;

  constructor(args: MultiHeadAttentionArgs) {
    super(args as unknown as ConstructorParameters<typeof tfl.layers.Layer>[0]);
    this.heads = args.heads;
    this.keyDepth = args.keyDepth;
    this.valueDepth = args.valueDepth ?? args.keyDepth;
    this.causal = args.causal ?? false;
    this.kernelInitializer = initializerFrom(args.kernelInitializer, glorotUniform);
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const [query, value, key] = sequencesOf(inputShape as tfl.Shape[]).map((shape) => shape[2] as number);
    const { heads, keyDepth, valueDepth } = this;
    this.projections = {
      query: this.projection('query', query, heads * keyDepth),
      key: this.projection('key', key, heads * keyDepth),
      value: this.projection('value', value, heads * valueDepth),
      output: this.projection('output', heads * valueDepth, query),
    };
    this.built = true;
  }

  private projection(part: Part, from: number, to: number): Projection {
    return {
      kernel: this.addWeight(`${part}_kernel`, [from, to], 'float32', this.kernelInitializer),
      bias: this.addWeight(`${part}_bias`, [to], 'float32', tfl.initializers.zeros()),
    };
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const [query, value, key] = sequencesOf(inputs as tf.Tensor[]);
      const [queries, keys, values] = [
        this.headsOf(query, 'query', this.keyDepth),
        this.headsOf(key, 'key', this.keyDepth),
        this.headsOf(value, 'value', this.valueDepth),
      ];
      const mixed = tf.transpose(attention(queries, keys, values, this.causal), [0, 2, 1, 3]);
      const [count, places] = query.shape;
      return this.projected(tf.reshape(mixed, [count, places as number, this.heads * this.valueDepth]), 'output');
    });
  }

  /** [count, places, width] → [count, heads, places, depth]. */
  private headsOf(sequence: tf.Tensor, part: Part, depth: number): tf.Tensor {
    const [count, places] = sequence.shape as [number, number, number];
    const projected = tf.reshape(this.projected(sequence, part), [count, places, this.heads, depth]);
    return tf.transpose(projected, [0, 2, 1, 3]);
  }

  private projected(sequence: tf.Tensor, part: Part): tf.Tensor {
    const [count, places, width] = sequence.shape as [number, number, number];
    const { kernel, bias } = (this.projections as Record<Part, Projection>)[part];
    const flat = tf.reshape(sequence, [count * places, width]) as tf.Tensor2D;
    const result = tf.add(tf.matMul(flat, kernel.read() as tf.Tensor2D), bias.read());
    return tf.reshape(result, [count, places, result.shape[1] as number]);
  }

  override computeOutputShape(inputShape: tfl.Shape | tfl.Shape[]): tfl.Shape | tfl.Shape[] {
    return sequencesOf(inputShape as tfl.Shape[])[0];
  }

  override getConfig(): tf.serialization.ConfigDict {
    const { heads, keyDepth, valueDepth, causal, kernelInitializer } = this;
    return {
      ...super.getConfig(),
      heads,
      keyDepth,
      valueDepth,
      causal,
      kernelInitializer: initializerConfig(kernelInitializer),
    };
  }
}

/** [query, value, key]; the values are their own keys where none are given. */
function sequencesOf<Sequence>(inputs: readonly Sequence[]): [Sequence, Sequence, Sequence] {
  if (inputs.length !== 2 && inputs.length !== 3) {
    throw new Error(`attention takes [query, value] or [query, value, key], not ${inputs.length} inputs`);
  }
  const [query, value, key = value] = inputs;
  return [query, value, key];
}

tf.serialization.registerClass(MultiHeadAttention);
