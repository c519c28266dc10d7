import { createEngine, stepSpecOf } from '@coord/engine';
import { CoordError, EXIT_CODE, identityText } from '@coord/protocol';
import { toRunSpec } from '../config/run-spec.js';
import { evaluate } from '../evaluate.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import { type OpenCheckpoint, openCheckpoint } from '../open-checkpoint.js';
import type { JsonOptions } from '../options.js';
import { formatCount, formatDuration, plural } from '../view/format.js';
import { evaluationTexts, matrixTables } from '../view/metrics.js';

/** @throws CoordError CHECKPOINT_*, DATASET_*, ENGINE_*. */
export async function runEval(path: string, options: JsonOptions, io: CommandIo): Promise<number> {
  const opened = await openCheckpoint(path);
  const { record, state } = opened;
  const { spec, dataset } = await toRunSpec(record.config, record);
  requireSameRun(opened, spec.configSha256);
  const engine = await createEngine(spec.engine);
  try {
    const step = await engine.compile(stepSpecOf(spec));
    const startMs = performance.now();
    const measured = await evaluate(step, state, dataset, spec);
    const seconds = (performance.now() - startMs) / 1000;
    step.dispose();
    if (options.json) {
      const { weightsSha256 } = opened.manifest;
      writeJson(io.stdout, {
        event: 'evaluated',
        step: state.step,
        testAccuracy: measured.accuracy,
        testLoss: measured.loss,
        testMetrics: measured.metrics,
        samples: measured.samples,
        seconds,
        weightsSha256,
        checkpoint: opened.path,
      });
      return EXIT_CODE.ok;
    }
    writeLine(io.stdout, `${spec.model.name} after step ${formatCount(state.step)} (${opened.path})`);
    writeLine(
      io.stdout,
      `${evaluationTexts(measured).join(' · ')} on ${plural(measured.samples, 'test sample')}, in ${formatDuration(seconds)}`,
    );
    for (const table of matrixTables(measured, dataset.classNames)) writeLine(io.stdout, table);
    writeLine(io.stdout, `engine ${identityText(engine.identity)}`);
    writeLine(io.stdout, `weights SHA-256 ${opened.manifest.weightsSha256}`);
    return EXIT_CODE.ok;
  } finally {
    engine.dispose();
  }
}

/** The layout and the samples must be those that the weights were trained with. */
function requireSameRun({ manifest, path }: OpenCheckpoint, configSha256: string): void {
  if (manifest.configSha256 === configSha256) return;
  throw new CoordError('CHECKPOINT_MISMATCH', `${path} was trained with another model definition or dataset`, {
    hint: 'Use the version of coord and the data files that the run was made with.',
    facts: { checkpoint: path },
  });
}
