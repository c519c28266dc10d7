/** Layers that tf.layers lacks. Every process of a run knows them, so models from files may use them. */
export { MultiHeadAttention } from './multi-head-attention.js';
export { PositionEmbedding } from './position-embedding.js';
export { SelfAttention } from './self-attention.js';
export { TokenEmbedding } from './token-embedding.js';
