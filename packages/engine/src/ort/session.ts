/**
 * A lowered model in an ONNX Runtime session. `run` is a synchronous native call that blocks its thread, so engines live in
 * threads of their own.
 *
 * Outputs are written to buffers that the program keeps. ONNX Runtime's binding nevertheless returns a fresh copy of each of
 * them, into pages that the system must first provide; on small models that takes as long as the computation. So every
 * graph's first output is one that the binding cannot convert, a sequence: it gives up there, with the results in place.
 * A binding that could convert it would return normally, and nothing but the time would differ.
 */
import { CoordError } from '@coord/protocol';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { LoweredModel } from '../lower/lower.js';
import { END_OUTPUT, type TensorInfo } from '../onnx/builder.js';

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
  private readonly requests: Readonly<Record<string, Tensor | null>>;

  private constructor(
    private readonly session: InferenceSession,
    private readonly feeds: Readonly<Record<string, Tensor>>,
    private readonly fetches: Readonly<Record<string, Tensor>>,
  ) {
    this.requests = { [END_OUTPUT]: null, ...fetches };
  }

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
      await this.session.run(this.feeds, this.requests);
    } catch (cause) {
      if (!endedBeforeCopies(cause)) throw failed('failed while it ran the step', cause);
    }
  }

  dispose(): void {
    void this.session.release();
  }
}

/** What the binding says of an output that is no tensor, after the run, before it converts the next. */
const endedBeforeCopies = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('Non tensor type');

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
