/**
 * A lowered model in an ONNX Runtime session. `run` is a synchronous native call that blocks its thread, so engines live in
 * threads of their own.
 *
 * Outputs are written to buffers that the program keeps. ONNX Runtime's binding nevertheless returns a fresh copy of each of
 * them, into pages that the system must first provide; on small models that takes as long as the computation. So every
 * graph's first output is one that the binding cannot convert, a sequence: it gives up there, with the results in place.
 * A binding that could convert it would return normally, and nothing but the time would differ.
 */
import './no-telemetry.js';
import { CoordError, sizeOfShape } from '@coord/protocol';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { LoweredModel } from '../lower/lower.js';
import { END_OUTPUT, type TensorInfo } from '../onnx/builder.js';
import type { OnnxType } from '../onnx/schema.js';

export type Elements = Float32Array | Int32Array;

/** Buffers by the names of the tensors that they hold. */
export type Storage = Readonly<Record<string, TensorArray>>;

export interface OrtSessionOptions {
  /** Threads inside one operation. */
  readonly threads: number;
  /** The device; operations that it lacks run on the CPU. Default: the CPU. */
  readonly provider?: 'cpu' | 'webgpu' | 'cuda';
  /** Where to write the model as it is after optimisation. */
  readonly optimisedModelFile?: string;
  /** The model is one that was written so: it runs as it is. */
  readonly isOptimised?: boolean;
  /** Its threads sleep as soon as they have nothing to do, instead of waiting awake: other sessions run in between. */
  readonly sleeps?: boolean;
}

/**
 * Operations from which on ONNX Runtime is not asked to optimise: that takes longer than all other compiling then, and what runs
 * in the end was not quicker (unrolled LSTMs, docs/benchmarks.md).
 */
export const TOO_LARGE_TO_OPTIMISE = 10_000;

const sessionOptions = ({
  threads,
  provider = 'cpu',
  optimisedModelFile,
  isOptimised = false,
  sleeps = false,
}: OrtSessionOptions): InferenceSession.SessionOptions => ({
  ...(optimisedModelFile === undefined ? {} : { optimizedModelFilePath: optimisedModelFile }),
  executionProviders: provider === 'cpu' ? ['cpu'] : [provider, 'cpu'],
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: isOptimised ? 'disabled' : 'all',
  // Errors only: warnings speak of optimisations that do not concern the reader.
  logSeverityLevel: 3,
  // Denormals slow some kernels down tenfold, and the exact sum drops them anyway.
  extra: { session: { set_denormal_as_zero: '1', intra_op: { allow_spinning: sleeps ? '0' : '1' } } },
});

/** A session whose tensors have no buffers yet. */
export class OrtSession {
  private constructor(private readonly session: InferenceSession) {}

  /**
   * @param operationCount of the model; without it, it is optimised unless the options say that it is already.
   * @throws CoordError ENGINE_FAILED
   */
  static async open(
    { bytes, operationCount = 0 }: Pick<LoweredModel, 'bytes'> & Partial<LoweredModel>,
    options: OrtSessionOptions,
  ): Promise<OrtSession> {
    const isOptimised = options.isOptimised === true || operationCount >= TOO_LARGE_TO_OPTIMISE;
    try {
      return new OrtSession(await InferenceSession.create(bytes, sessionOptions({ ...options, isOptimised })));
    } catch (cause) {
      throw failed('refused the compiled step', cause);
    }
  }

  get inputs(): TensorInfo[] {
    return tensorInfos(this.session.inputMetadata);
  }

  get outputs(): TensorInfo[] {
    return tensorInfos(this.session.outputMetadata);
  }

  /**
   * @param storage buffers for inputs and outputs that the caller keeps, by name; the rest is allocated here. They must not
   *   lie in shared memory, which ONNX Runtime rejects.
   */
  bind(storage: Storage): OrtProgram {
    const tensorsOf = (infos: readonly TensorInfo[]) =>
      Object.fromEntries(infos.map((info) => [info.name, tensorOver(info, storage[info.name])]));
    try {
      return new OrtProgram(this.session, tensorsOf(this.inputs), tensorsOf(this.outputs));
    } catch (cause) {
      throw failed('refused the compiled step', cause);
    }
  }

  release(): void {
    void this.session.release();
  }
}

export class OrtProgram {
  private readonly requests: Readonly<Record<string, Tensor | null>>;

  constructor(
    private readonly session: InferenceSession,
    private readonly feeds: Readonly<Record<string, Tensor>>,
    private readonly fetches: Readonly<Record<string, Tensor>>,
  ) {
    this.requests = { [END_OUTPUT]: null, ...fetches };
  }

  /**
   * @param storage as for `OrtSession.bind`.
   * @throws CoordError ENGINE_FAILED
   */
  static async create(
    model: Pick<LoweredModel, 'bytes'> & Partial<LoweredModel>,
    options: OrtSessionOptions,
    storage: Storage = {},
  ): Promise<OrtProgram> {
    return (await OrtSession.open(model, options)).bind(storage);
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

export const ARRAYS = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array } as const;
export type TensorArray = Float32Array | Int32Array | BigInt64Array | Uint8Array;

function tensorOver({ name, type, dims }: TensorInfo, storage: TensorArray | undefined): Tensor {
  const array = ARRAYS[type];
  if (!array) throw new TypeError(`"${name}" has elements of type ${type}`);
  return new Tensor(type, storage ?? new array(sizeOfShape(dims)), dims);
}

/** Shapes are fixed, and what is no tensor (the end) is left out. */
const tensorInfos = (metadata: readonly InferenceSession.ValueMetadata[]): TensorInfo[] =>
  metadata.flatMap((value) =>
    value.isTensor ? { name: value.name, type: value.type as OnnxType, dims: value.shape as number[] } : [],
  );

const failed = (what: string, cause: unknown): CoordError =>
  new CoordError('ENGINE_FAILED', `ONNX Runtime ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, {
    hint: 'Please report the model; engine: tfjs-cpu runs it meanwhile.',
    cause,
  });
