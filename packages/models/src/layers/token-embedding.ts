/**
 * Token vectors that serve at both ends of a language model: on tokens [batch, length] the layer gives their vectors
 * [batch, length, width]; on vectors [batch, length, width] it gives their products with every token's vector,
 * [batch, length, vocabulary].
 * Source: O. Press and L. Wolf, "Using the Output Embedding to Improve Language Models", 2017.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type Initializer,
  type InitializerConfig,
  initializerConfig,
  initializerFrom,
  smallNormal,
} from './initializers.js';

export interface TokenEmbeddingArgs {
  readonly name?: string;
  readonly vocabulary: number;
  readonly width: number;
  readonly embeddingsInitializer?: Initializer | InitializerConfig;
}

export class TokenEmbedding extends tfl.layers.Layer {
  static className = 'TokenEmbedding';
  private readonly vocabulary: number;
  private readonly width: number;
  private readonly embeddingsInitializer: Initializer;
  private embeddings: tfl.LayerVariable | undefined;

  constructor(args: TokenEmbeddingArgs) {
    super(args as unknown as ConstructorParameters<typeof tfl.layers.Layer>[0]);
    this.vocabulary = args.vocabulary;
    this.width = args.width;
    this.embeddingsInitializer = initializerFrom(args.embeddingsInitializer, smallNormal);
  }

  override build(): void {
    const { vocabulary, width, embeddingsInitializer } = this;
    this.embeddings = this.addWeight('embeddings', [vocabulary, width], 'float32', embeddingsInitializer);
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const [x] = [inputs].flat();
      const vectors = (this.embeddings as tfl.LayerVariable).read() as tf.Tensor2D;
      if (x.rank === 2) return tf.gather(vectors, tf.cast(x, 'int32'));
      const [count, length, width] = x.shape as [number, number, number];
      const scores = tf.matMul(tf.reshape(x, [count * length, width]), vectors, false, true);
      return tf.reshape(scores, [count, length, this.vocabulary]);
    });
  }

  override computeOutputShape(inputShape: tfl.Shape | tfl.Shape[]): tfl.Shape | tfl.Shape[] {
    const [count, length, width] = inputShape as tfl.Shape;
    return [count, length, width === undefined ? this.width : this.vocabulary];
  }

  override getConfig(): tf.serialization.ConfigDict {
    const { vocabulary, width, embeddingsInitializer } = this;
    return {
      ...super.getConfig(),
      vocabulary,
      width,
      embeddingsInitializer: initializerConfig(embeddingsInitializer),
    };
  }
}

tf.serialization.registerClass(TokenEmbedding);
