/**
 * A lowered model as segments that run one after another: sessions of ONNX Runtime, and kernels of our own between them. So a
 * kernel can do in one pass what ONNX Runtime does in many, and some results can be there before the others (stages).
 *
 * It is the model as ONNX Runtime has optimised it that is cut, and its segments are not optimised again: they run the very
 * kernels that the whole would run, on the very values. So the results are the same bits however many stages there are. What
 * one segment hands to a later one lies in a buffer that both know; nothing is copied.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Kernels, loadKernels } from '../kernels/wasm.js';
import type { LoweredModel } from '../lower/lower.js';
import { END_OUTPUT, type OwnNode, type TensorInfo } from '../onnx/builder.js';
import { elementsOf, type ModelParts, type NodePart, putTogether, takeApart } from '../onnx/parts.js';
import { cutIntoSegments, type GraphNode, type Segment } from '../segments/cut.js';
import { allocateBuffers, type HeldValue, type ProgramBuffers } from './buffers.js';
import { type Elements, OrtSession, type OrtSessionOptions, type Storage, type TensorArray } from './session.js';

/** A node of the whole: an operation of ONNX Runtime, or work for a kernel of ours. */
interface ProgramNode extends GraphNode {
  readonly part?: NodePart;
  readonly own?: OwnNode;
}

type ProgramSegment = Segment<ProgramNode>;

/** Runs one segment. */
interface Step {
  readonly stage: number;
  run(): Promise<void> | void;
}

export class SegmentedProgram {
  private constructor(
    private readonly steps: readonly Step[],
    private readonly buffers: ReadonlyMap<string, TensorArray>,
    private readonly model: LoweredModel,
    private readonly sessions: readonly OrtSession[],
  ) {}

  /**
   * @param storage as for `OrtSession.bind`.
   * @param stages names of outputs by stage; those that are not named are computed by the first.
   * @throws CoordError ENGINE_FAILED
   */
  static async create(
    model: LoweredModel,
    options: OrtSessionOptions,
    storage: Storage,
    stages: readonly (readonly string[])[] = [[]],
  ): Promise<SegmentedProgram> {
    const parts = takeApart(await optimised(model, options));
    const segments = segmentsOf(model, parts, stages);
    const sessions = await openSessions(parts, segments, options);
    const buffers = allocateBuffers(heldValues(model, segments, sessions), storage);
    fillConstants(model, parts, buffers);
    const steps = stepsOf(model, segments, sessions, buffers, storage);
    return new SegmentedProgram(steps, buffers.byName, model, [...sessions.values()]);
  }

  hasInput(name: string): boolean {
    return this.model.inputs.some((input) => input.name === name) && this.buffers.has(name);
  }

  /** Elements of an input, to be written before the first stage runs. */
  input(name: string): Elements {
    return this.buffers.get(name) as Elements;
  }

  /** Elements of an output, once its stage has run. */
  output(name: string): Elements {
    return this.buffers.get(this.model.aliases.get(name) ?? name) as Elements;
  }

  /** Stages run in their order, from 0. @throws CoordError ENGINE_FAILED */
  async run(stage = 0): Promise<void> {
    for (const step of this.steps) if (step.stage === stage) await step.run();
  }

  dispose(): void {
    for (const session of this.sessions) session.release();
  }
}

/** The model as ONNX Runtime runs it on this machine. It is told to a file only. */
async function optimised(model: LoweredModel, options: OrtSessionOptions): Promise<Uint8Array> {
  const directory = await mkdtemp(join(tmpdir(), 'coord-segments-'));
  try {
    const optimisedModelFile = join(directory, 'optimised.onnx');
    (await OrtSession.open(model, { ...options, optimisedModelFile })).release();
    return await readFile(optimisedModelFile);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function segmentsOf(
  model: LoweredModel,
  parts: ModelParts,
  stages: readonly (readonly string[])[],
): readonly ProgramSegment[] {
  const nodes: ProgramNode[] = [
    ...parts.nodes.map((part) => ({ ...part, part })),
    ...model.ownNodes.map((own) => ({
      type: own.kernel,
      inputs: own.inputs.map(({ name }) => name),
      outputs: own.outputs.map(({ name }) => name),
      isOwn: true,
      own,
    })),
  ];
  const later = new Set(stages.slice(1).flat());
  const first = model.outputs.map(({ name }) => name).filter((name) => !later.has(name));
  const results = [first, ...stages.slice(1)].map((names) => names.map((name) => model.aliases.get(name) ?? name));
  return cutIntoSegments(nodes, results).filter((segment) => segment.nodes.length > 0);
}

async function openSessions(
  parts: ModelParts,
  segments: readonly ProgramSegment[],
  options: OrtSessionOptions,
): Promise<Map<ProgramSegment, OrtSession>> {
  const sessions = new Map<ProgramSegment, OrtSession>();
  const known: TensorInfo[] = [];
  for (const segment of segments) {
    if (segment.isOwn) continue;
    const session = await OrtSession.open(
      { bytes: segmentModel(parts, segment, known) },
      { ...options, isOptimised: true, sleeps: true },
    );
    sessions.set(segment, session);
    known.push(...session.outputs);
  }
  return sessions;
}

/** @param known what earlier segments hand over; only they know its types. */
function segmentModel(parts: ModelParts, segment: ProgramSegment, known: readonly TensorInfo[]): Uint8Array {
  const end = parts.nodes.filter(({ outputs }) => outputs.includes(END_OUTPUT));
  const nodes = segment.nodes.flatMap(({ part }) => part ?? []);
  const results = nodes.flatMap(({ outputs }) => outputs).filter((name) => parts.outputs.has(name));
  return putTogether(parts, {
    nodes: [...new Set([...end, ...nodes])],
    reads: new Set(nodes.flatMap(({ inputs }) => inputs)),
    given: known.filter(({ name }) => segment.carriedIn.includes(name)),
    outputs: new Set([END_OUTPUT, ...results, ...segment.carriedOut]),
  });
}

/** Everything that goes into or out of a segment. */
function heldValues(
  model: LoweredModel,
  segments: readonly ProgramSegment[],
  sessions: ReadonlyMap<ProgramSegment, OrtSession>,
): HeldValue[] {
  const ownInfos = model.ownNodes.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]);
  const ownNames = new Set(ownInfos.map(({ name }) => name));
  const infos = [...ownInfos, ...[...sessions.values()].flatMap(({ inputs, outputs }) => [...inputs, ...outputs])];
  const unique = [...new Map(infos.map((info) => [info.name, info])).values()];
  const lives = livesIn(segments);
  for (const { name } of model.outputs) lives.delete(model.aliases.get(name) ?? name);
  return unique.map((info) => ({ ...info, isOwn: ownNames.has(info.name), life: lives.get(info.name) }));
}

/** Of values that are carried. What a kernel makes for nobody still needs a place while it runs. */
function livesIn(segments: readonly ProgramSegment[]): Map<string, { first: number; last: number }> {
  const lives = new Map<string, { first: number; last: number }>();
  segments.forEach(({ nodes, carriedIn, carriedOut, isOwn }, at) => {
    const made = isOwn ? nodes.flatMap(({ outputs }) => outputs) : carriedOut;
    for (const name of made) lives.set(name, { first: at, last: at });
    for (const name of carriedIn) (lives.get(name) as { last: number }).last = at;
  });
  return lives;
}

/** What a kernel of ours reads may have turned out a constant; no session hands that over. */
function fillConstants({ ownNodes }: LoweredModel, parts: ModelParts, { byName }: ProgramBuffers): void {
  for (const { name } of ownNodes.flatMap(({ inputs }) => inputs)) {
    const constant = parts.initializers.get(name);
    if (!constant) continue;
    const { buffer, byteOffset, byteLength } = byName.get(name) as TensorArray;
    const elements = elementsOf(constant);
    if (elements.length !== byteLength)
      throw new Error(`constant "${name}" has ${elements.length} bytes, not ${byteLength}`);
    new Uint8Array(buffer, byteOffset, byteLength).set(elements);
  }
}

function stepsOf(
  model: LoweredModel,
  segments: readonly ProgramSegment[],
  sessions: ReadonlyMap<ProgramSegment, OrtSession>,
  { byName, memory }: ProgramBuffers,
  storage: Storage,
): Step[] {
  const lent = Object.fromEntries(byName);
  const kernels = model.ownNodes.length > 0 ? loadKernels(memory) : {};
  const copies = model.outputs.flatMap(({ name }) => {
    const made = model.aliases.get(name) ?? name;
    return copyBetween(byName.get(made), storage[name]).map((run) => ({ made, run }));
  });
  const weightCopies = model.inputs.flatMap(({ name }) => copyBetween(storage[name], byName.get(name)));
  const steps = segments.flatMap(({ stage, nodes }, at) => {
    const program = sessions.get(segments[at])?.bind(lent);
    const calls = nodes.flatMap(({ own }) => (own ? callOf(own, kernels, byName) : []));
    const made = new Set(nodes.flatMap(({ outputs }) => outputs));
    const after = copies.filter((copy) => made.has(copy.made)).map(({ run }) => run);
    const work = program ? [{ stage, run: () => program.run() }] : [];
    return [...work, ...[...calls, ...after].map((run) => ({ stage, run }))];
  });
  return [...weightCopies.map((run) => ({ stage: 0, run })), ...steps];
}

function callOf(
  { kernel, inputs, outputs, scalars }: OwnNode,
  kernels: Kernels,
  buffers: ReadonlyMap<string, TensorArray>,
): () => void {
  const addresses = [...inputs, ...outputs].map(({ name }) => (buffers.get(name) as TensorArray).byteOffset);
  return () => kernels[kernel](...addresses, ...scalars);
}

/** What the caller keeps elsewhere and a kernel of ours touches: vectors of weights, mostly, and their gradients. */
function copyBetween(source: TensorArray | undefined, target: TensorArray | undefined): (() => void)[] {
  if (!source || !target || source === target) return [];
  return [() => (target as Float32Array).set(source as Float32Array)];
}
