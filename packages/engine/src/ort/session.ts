/**
 * A lowered model in an ONNX Runtime session. `run` is a synchronous native call that blocks its thread, so engines live in
 * threads of their own.
 */
import { CoordError } from '@coord/protocol';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { LoweredModel } from '../lower/lower.js';
import type { TensorInfo } from '../onnx/builder.js';

export type Elements = Float32Array | Int32Array;

export interface OrtSessionOptions {
  /** Threads inside one operation. */
  readonly threads: number;
  /** The device; operations that it lacks run on the CPU. Default: the CPU. */
  readonly provider?: 'cpu' | 'webgpu' | 'cuda';
}

const sessionOptions = ({ threads, provider = 'cpu' }: OrtSessionOptions): InferenceSession.SessionOptions => ({
  executionProviders: provider === 'cpu' ? ['cpu'] : [provider, 'cpu'],
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
  // Errors only: warnings speak of optimisations that do not concern the reader.
  logSeverityLevel: 3,
  // Denormals slow some kernels down tenfold, and the exact sum drops them anyway.
  extra: { session: { set_denormal_as_zero: '1' } },
});

export class OrtProgram {
  private constructor(
    private readonly session: InferenceSession,
    private readonly feeds: Readonly<Record<string, Tensor>>,
    private readonly fetches: Readonly<Record<string, Tensor>>,
  ) {}

  /**
   * @param storage buffers for inputs and outputs that the caller keeps, by name; the rest is allocated here. They must not
   *   lie in shared memory, which ONNX Runtime rejects.
   * @throws CoordError ENGINE_FAILED
   */
  static async create(
    model: LoweredModel,
    options: OrtSessionOptions,
    storage: Readonly<Record<string, Elements>> = {},
  ): Promise<OrtProgram> {
    try {
      const session = await InferenceSession.create(model.bytes, sessionOptions(options));
      const bind = (infos: readonly TensorInfo[]) =>
        Object.fromEntries(infos.map((info) => [info.name, tensorOver(info, storage[info.name])]));
      return new OrtProgram(session, bind(model.inputs), bind(model.outputs));
    } catch (cause) {
      throw failed('refused the compiled step', cause);
    }
  }

  get inputNames(): string[] {
    return Object.keys(this.feeds);
  }

  hasInput(name: string): boolean {
    return name in this.feeds;
  }

  /** Elements of an input, to be written before `run`. */
  input(name: string): Elements {
    return this.feeds[name].data as Elements;
  }

  /** Elements of an output; the next `run` overwrites them. */
  output(name: string): Elements {
    return this.fetches[name].data as Elements;
  }

  /** @throws CoordError ENGINE_FAILED */
  async run(): Promise<void> {
    try {
      // What it returns are further copies; the results are in the fetches.
      await this.session.run(this.feeds, this.fetches);
    } catch (cause) {
      throw failed('failed while it ran the step', cause);
    }
  }

  dispose(): void {
    void this.session.release();
  }
}

const sizeOf = (dims: readonly number[]): number => dims.reduce((product, extent) => product * extent, 1);

function tensorOver({ type, dims }: TensorInfo, storage: Elements | undefined): Tensor {
  if (type === 'int32') return new Tensor('int32', (storage as Int32Array) ?? new Int32Array(sizeOf(dims)), dims);
  if (type === 'float32')
    return new Tensor('float32', (storage as Float32Array) ?? new Float32Array(sizeOf(dims)), dims);
  throw new TypeError(`a graph's inputs and outputs are float32 or int32, not ${type}`);
}

const failed = (what: string, cause: unknown): CoordError =>
  new CoordError('ENGINE_FAILED', `ONNX Runtime ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, {
    hint: 'Please report the model; engine: tfjs-cpu runs it meanwhile.',
    cause,
  });
