/**
 * tf.layers puts a graph together by going through its layers again and again until every call has its inputs: for ever, where
 * layers refer to each other in a circle, or to one that is not there. So the lists of layers count how often that is done.
 */
import type { Json } from './topology.js';

/** To make the layers, and for what else looks at them. */
const OTHER_PASSES = 8;

/** Gives every list of layers in a configuration, also inside layers, an iterator that ends in an error in time. */
export function boundLayerPasses(value: Json): void {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value) && Array.isArray(value.layers)) bound(value.layers);
  for (const item of Object.values(value)) boundLayerPasses(item);
}

function bound(layers: Json[]): void {
  // A pass that is not the last completes a call at least.
  let passesLeft = OTHER_PASSES + layers.reduce<number>((calls, layer) => calls + callsOf(layer), 0);
  Object.defineProperty(layers, Symbol.iterator, {
    value: () => {
      if (passesLeft-- > 0) return Array.prototype[Symbol.iterator].call(layers);
      throw new Error('its layers refer to each other in a circle, or to a layer or a call of it that is not there');
    },
  });
}

function callsOf(layer: Json): number {
  const isRecord = typeof layer === 'object' && layer !== null && !Array.isArray(layer);
  return isRecord && Array.isArray(layer.inboundNodes) ? layer.inboundNodes.length : 0;
}
