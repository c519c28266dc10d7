/**
 * A tfjs backend whose kernels compute nothing: each infers its output's shape and appends a node to a graph. Running a
 * model's training step on it records forward and backward pass as tfjs's own autodiff produces them.
 */
import { tf } from '../tensors.js';
import { Graph, type Node, unsupported, type Value } from './graph.js';
import type { Inputs, ShapeRule, TensorSpec } from './shape-rule.js';
import { SHAPE_RULES } from './shape-rules.js';
import { sourceLine } from './source-line.js';

export const TRACE_BACKEND = 'trace';

/** Whose kernels are being recorded. */
export interface Place {
  /** What the layer is called; undefined outside of layers (the loss, say). */
  readonly layer?: string | undefined;
  /** Where the forward kernel was recorded whose gradient this is; undefined in the forward pass. */
  readonly forward?: Error;
}

export class TraceBackend extends tf.KernelBackend {
  private graph: Graph | undefined;
  private readonly values = new WeakMap<object, Value>();
  private readonly references = new WeakMap<object, number>();
  private tensorCount = 0;
  /** Layers whose `call` or gradient is running, outermost first. */
  private readonly places: Place[] = [];

  begin(): Graph {
    this.graph = new Graph();
    this.places.length = 0;
    return this.graph;
  }

  end(): void {
    this.graph = undefined;
  }

  get currentGraph(): Graph {
    if (!this.graph) throw new Error('a tensor of the trace backend is used outside a trace');
    return this.graph;
  }

  /** Kernels recorded while `work` runs are at this place; after an error it stays there, to be told. */
  within<Result>(place: Place, work: () => Result): Result {
    this.places.push(place);
    const result = work();
    this.places.pop();
    return result;
  }

  /** The place of the gradient of what is recorded now. */
  gradientPlace(): Place {
    const { layer, forward = new Error() } = this.currentPlace;
    return { layer, forward };
  }

  private get currentPlace(): Place {
    return this.places.at(-1) ?? {};
  }

  /** @throws CoordError ENGINE_UNSUPPORTED when the tensor was made before the trace began. */
  traced(dataId: object): Value {
    const value = this.values.get(dataId);
    if (!value) throw this.refusal('it uses a tensor that was made outside the step');
    return value;
  }

  bind(dataId: object, value: Value): void {
    this.values.set(dataId, value);
  }

  tensorOf(value: Value): tf.Tensor {
    return tf
      .engine()
      .makeTensorFromTensorInfo({ dataId: this.dataIdOf(value), shape: [...value.shape], dtype: value.dtype });
  }

  record(kernel: string, rule: ShapeRule, inputs: Inputs & Record<string, tf.TensorInfo>, attrs: Node['attrs']) {
    const present = Object.entries(inputs).filter(([, info]) => info !== undefined && info !== null);
    const values = Object.fromEntries(present.map(([name, info]) => [name, this.traced(info.dataId)]));
    const specs = rule(inputs, attrs as never);
    const node: Node = { kernel, inputs: values, attrs, outputs: [], layer: this.currentLayer };
    this.currentGraph.nodes.push(node);
    const infos = [specs].flat().map((spec) => this.outputOf(node, spec));
    return Array.isArray(specs) ? infos : infos[0];
  }

  refusal(why: string): Error {
    return unsupported(this.place(new Error().stack), why);
  }

  /** The running layer, and the line of its code that a stack leads to; in its gradient, the line of the forward kernel. */
  place(stack: string | undefined): string {
    const { forward } = this.currentPlace;
    const line = sourceLine(forward ? forward.stack : stack);
    const layer = this.currentLayer ?? 'the step';
    return line === undefined ? layer : `${layer}, ${line}`;
  }

  private get currentLayer(): string | undefined {
    const { layer, forward } = this.currentPlace;
    return forward ? `the gradient of ${layer ?? 'the step'}` : layer;
  }

  dataIdOf(value: Value): object {
    const dataId = { value: value.id };
    this.values.set(dataId, value);
    this.references.set(dataId, 1);
    this.tensorCount++;
    return dataId;
  }

  private outputOf(node: Node, { shape, dtype }: TensorSpec): tf.TensorInfo {
    const value = this.currentGraph.value({ kind: 'result', shape: [...shape], dtype, node });
    node.outputs.push(value);
    return { dataId: this.dataIdOf(value), shape: [...shape], dtype };
  }

  // What tfjs asks of a backend.

  override write(values: tf.backend_util.BackendValues, shape: number[], dtype: tf.DataType): object {
    const data = (values ?? []) as unknown as ArrayLike<number>;
    return this.dataIdOf(
      this.currentGraph.value({ kind: 'constant', shape: [...shape], dtype, data, uniform: uniformOf(data) }),
    );
  }

  override readSync(dataId: object): tf.backend_util.BackendValues {
    const { data } = this.traced(dataId);
    if (data) return data as tf.backend_util.BackendValues;
    throw this.refusal("it reads a tensor's values while it runs");
  }

  override async read(dataId: object): Promise<tf.backend_util.BackendValues> {
    return this.readSync(dataId);
  }

  override disposeData(dataId: object, force?: boolean): boolean {
    const count = this.refCount(dataId);
    this.references.set(dataId, force ? 0 : Math.max(0, count - 1));
    if (count > 1 && !force) return false;
    this.tensorCount--;
    return true;
  }

  override incRef(dataId: object): void {
    this.references.set(dataId, this.refCount(dataId) + 1);
  }

  override refCount(dataId: object): number {
    return this.references.get(dataId) ?? 0;
  }

  override numDataIds(): number {
    return this.tensorCount;
  }

  override memory() {
    return { unreliable: true };
  }

  override floatPrecision(): 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override timerAvailable(): boolean {
    return false;
  }
}

function uniformOf(data: ArrayLike<number>): number | undefined {
  for (let index = 1; index < data.length; index++) if (data[index] !== data[0]) return undefined;
  return data.length > 0 ? Number(data[0]) : undefined;
}

let registered = false;

/** Makes the backend known to tfjs, once a thread. */
export function registerTraceBackend(): void {
  if (registered) return;
  registered = true;
  tf.registerBackend(TRACE_BACKEND, () => new TraceBackend(), 0);
  registerAliases();
  for (const [kernelName, rule] of Object.entries(SHAPE_RULES)) {
    tf.registerKernel({
      kernelName,
      backendName: TRACE_BACKEND,
      kernelFunc: ({ inputs, attrs, backend }) =>
        (backend as TraceBackend).record(
          kernelName,
          rule,
          inputs as Inputs & Record<string, tf.TensorInfo>,
          (attrs ?? {}) as Node['attrs'],
        ),
    });
  }
}

/** Identity gives its input a second name; no node is needed. */
function registerAliases(): void {
  tf.registerKernel({
    kernelName: 'Identity',
    backendName: TRACE_BACKEND,
    kernelFunc: ({ inputs, backend }) => {
      const { x } = inputs as { x: tf.TensorInfo };
      const trace = backend as TraceBackend;
      return { dataId: trace.dataIdOf(trace.traced(x.dataId)), shape: x.shape, dtype: x.dtype };
    },
  });
}
