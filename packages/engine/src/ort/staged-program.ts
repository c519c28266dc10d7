/**
 * A lowered model as several sessions that run one after another, so that some results are there before the others.
 *
 * It is the model as ONNX Runtime has optimised it that is cut, and its stages are not optimised again: every stage runs the
 * very kernels that the whole would run, on the very values, so the results are the same bits. What one stage hands to a
 * later one lies in a buffer that both sessions know; nothing is copied.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LoweredModel } from '../lower/lower.js';
import { END_OUTPUT } from '../onnx/builder.js';
import { type ModelParts, type NodePart, putTogether, takeApart } from '../onnx/parts.js';
import { cutIntoStages, type Stage } from '../stages/cut.js';
import { type Elements, OrtProgram, type OrtSessionOptions, type Storage } from './session.js';

export class StagedProgram {
  private constructor(private readonly programs: readonly OrtProgram[]) {}

  /**
   * @param storage as for `OrtProgram.create`.
   * @param results names of outputs by stage; those that are not named are computed by the first.
   * @throws CoordError ENGINE_FAILED
   */
  static async create(
    model: LoweredModel,
    options: OrtSessionOptions,
    storage: Storage,
    results: readonly (readonly string[])[],
  ): Promise<StagedProgram> {
    const parts = takeApart(await optimised(model, options));
    const named = new Set(results.slice(1).flat());
    const first = [...parts.outputs.keys()].filter((name) => !named.has(name));
    const programs: OrtProgram[] = [];
    let shared = storage;
    for (const stage of cutIntoStages(parts.nodes, [first, ...results.slice(1)])) {
      const program = await OrtProgram.create(
        { bytes: stageModel(parts, stage, programs) },
        { ...options, isOptimised: true },
        shared,
      );
      programs.push(program);
      shared = { ...shared, ...program.storage };
    }
    return new StagedProgram(programs);
  }

  hasInput(name: string): boolean {
    return this.programs.some((program) => program.hasInput(name));
  }

  /** Elements of an input, to be written before the first stage runs. */
  input(name: string): Elements {
    return this.owner((program) => program.hasInput(name)).input(name);
  }

  /** Elements of an output, once its stage has run. */
  output(name: string): Elements {
    return this.owner((program) => program.hasOutput(name)).output(name);
  }

  /** Stages run in their order, from 0. @throws CoordError ENGINE_FAILED */
  async run(stage: number): Promise<void> {
    await this.programs[stage].run();
  }

  dispose(): void {
    for (const program of this.programs) program.dispose();
  }

  private owner(has: (program: OrtProgram) => boolean): OrtProgram {
    return this.programs.find(has) as OrtProgram;
  }
}

/** The model as ONNX Runtime runs it on this machine. It is told to a file only. */
async function optimised(model: LoweredModel, options: OrtSessionOptions): Promise<Uint8Array> {
  const directory = await mkdtemp(join(tmpdir(), 'coord-stages-'));
  try {
    const optimisedModelFile = join(directory, 'optimised.onnx');
    (await OrtProgram.create(model, { ...options, optimisedModelFile })).dispose();
    return await readFile(optimisedModelFile);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** @param before the stages before, which know the types of what they hand over. */
function stageModel(parts: ModelParts, stage: Stage<NodePart>, before: readonly OrtProgram[]): Uint8Array {
  const end = parts.nodes.filter(({ outputs }) => outputs.includes(END_OUTPUT));
  const results = stage.nodes.flatMap(({ outputs }) => outputs).filter((name) => parts.outputs.has(name));
  return putTogether(parts, {
    nodes: [...new Set([...end, ...stage.nodes])],
    reads: new Set(stage.nodes.flatMap(({ inputs }) => inputs)),
    given: before.flatMap(({ outputs }) => outputs).filter(({ name }) => stage.carriedIn.includes(name)),
    outputs: new Set([END_OUTPUT, ...results, ...stage.carriedOut]),
  });
}
