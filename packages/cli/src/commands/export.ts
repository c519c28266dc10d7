import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { exportSafetensors, exportTfjs } from '@coord/checkpoint';
import { EXIT_CODE } from '@coord/protocol';
import { describeModel } from '../config/model.js';
import { type CommandIo, writeJson, writeLine } from '../io.js';
import { type OpenCheckpoint, openCheckpoint } from '../open-checkpoint.js';
import type { ExportOptions } from '../options.js';
import { formatCount } from '../view/format.js';

/** @throws CoordError CHECKPOINT_NOT_FOUND, CHECKPOINT_CORRUPT. */
export async function runExport(path: string, options: ExportOptions, io: CommandIo): Promise<number> {
  const opened = await openCheckpoint(path);
  await mkdir(options.out, { recursive: true });
  const file = await write(opened, options);
  const { step } = opened.state;
  const { weightsSha256 } = opened.manifest;
  if (options.json) writeJson(io.stdout, { event: 'exported', format: options.format, file, step, weightsSha256 });
  else
    writeLine(
      io.stdout,
      `weights after step ${formatCount(step)} written to ${file}\nSHA-256 of the weights ${weightsSha256}`,
    );
  return EXIT_CODE.ok;
}

async function write({ state, record }: OpenCheckpoint, { format, out }: ExportOptions): Promise<string> {
  if (format === 'tfjs') {
    const { topology } = await describeModel(record.config.model, record.directory);
    await exportTfjs(state, topology, out);
    return join(out, 'model.json');
  }
  const file = join(out, 'weights.safetensors');
  await exportSafetensors(state, file);
  return file;
}
