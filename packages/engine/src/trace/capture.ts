/** Runs a function on the trace backend and returns the graph of what it would have computed. */
import { isCoordError } from '@coord/protocol';
import { refusingRandom, unrecognisedRandom } from '../step/random-layers.js';
import { tf, withBackend } from '../tensors.js';
import { registerTraceBackend, TRACE_BACKEND, type TraceBackend } from './backend.js';
import { placingGradients } from './gradient-places.js';
import { type Graph, tidyGraph, unsupported } from './graph.js';
import { withDeepStacks } from './source-line.js';

/** What the captured function may declare. */
export interface TraceScope {
  input(name: string, shape: readonly number[], dtype: tf.DataType): tf.Tensor;
  /** From here on the variable's value is the graph's weight `name`. */
  bindWeight(name: string, variable: tf.Variable): void;
  /** Makes a tensor an output of the graph. A variable counts with the value that it was last assigned. */
  output(name: string, tensor: tf.Tensor): void;
  /** Kernels recorded while `work` runs belong to this layer. */
  inLayer<Result>(layer: string, work: () => Result): Result;
}

/**
 * @throws CoordError ENGINE_UNSUPPORTED when the function reads values, draws random numbers, or needs a kernel without
 *   shape rule; the message names the layer.
 */
export function capture(work: (scope: TraceScope) => void): Graph {
  registerTraceBackend();
  return withBackend(TRACE_BACKEND, () => {
    const backend = tf.backend() as TraceBackend;
    const graph = backend.begin();
    try {
      withDeepStacks(() =>
        refusingRandom(
          () => unrecognisedRandom(backend.place(new Error().stack)),
          () => placingGradients(backend, () => tf.tidy(() => work(scopeOf(backend, graph)))),
        ),
      );
    } catch (error) {
      throw explained(error, backend);
    } finally {
      backend.end();
    }
    tidyGraph(graph);
    return graph;
  });
}

function scopeOf(backend: TraceBackend, graph: Graph): TraceScope {
  return {
    input: (name, shape, dtype) => backend.tensorOf(graph.value({ kind: 'input', name, shape: [...shape], dtype })),
    bindWeight(name, variable) {
      const { shape, dtype } = variable;
      backend.bind(variable.dataId, graph.value({ kind: 'weight', name, shape: [...shape], dtype }));
    },
    output(name, tensor) {
      graph.outputs.push({ name, value: backend.traced(tensor.dataId) });
    },
    inLayer: (layer, inner) => backend.within({ layer }, inner),
  };
}

function explained(error: unknown, backend: TraceBackend): unknown {
  if (isCoordError(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  const kernel = /Kernel '(\w+)' not registered/.exec(message)?.[1];
  const where = backend.place(error instanceof Error ? error.stack : undefined);
  return unsupported(where, kernel ? `there is no rule for kernel ${kernel}` : message, error);
}
