/** Gradient kernels belong to the layer whose forward kernel they follow: tfjs's tape is told so while it is written. */
import { tf } from '../tensors.js';
import type { Place, TraceBackend } from './backend.js';

type InputGradients = Record<string, () => tf.Tensor>;

/** What tfjs keeps of a forward kernel. */
interface TapeNode {
  readonly kernelName: string;
  /** Undefined where tfjs has no gradient. */
  gradient?: (dys: tf.Tensor[]) => InputGradients;
}

/** The part of tfjs's engine that writes the tape. */
interface TapeWriter {
  addTapeNode?: (...fields: unknown[]) => void;
  readonly state: { readonly activeTape: readonly TapeNode[] };
}

/** Runs `work`; gradients taken in it are recorded, and refused, in the name of their layers. */
export function placingGradients<Result>(backend: TraceBackend, work: () => Result): Result {
  const engine = tf.engine() as unknown as TapeWriter;
  const write = engine.addTapeNode as NonNullable<TapeWriter['addTapeNode']>;
  engine.addTapeNode = (...fields) => {
    write.apply(engine, fields);
    placeGradient(backend, engine.state.activeTape.at(-1) as TapeNode);
  };
  try {
    return work();
  } finally {
    // What remains is the class's own.
    delete engine.addTapeNode;
  }
}

function placeGradient(backend: TraceBackend, node: TapeNode): void {
  const { gradient, kernelName } = node;
  const place = backend.gradientPlace();
  node.gradient = (dys) =>
    backend.within(place, () => {
      if (!gradient) throw backend.refusal(`tfjs has no gradient for kernel ${kernelName}`);
      return placed(backend, place, gradient(dys));
    });
}

/** The gradient by each input is computed later, too, when it is asked for. */
const placed = (backend: TraceBackend, place: Place, inputs: InputGradients): InputGradients =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, compute]) => [name, () => backend.within(place, () => compute())]),
  );
