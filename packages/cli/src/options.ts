/** Options as commander hands them over, and the readers of their values. */
import type { EngineName } from '@coord/protocol';
import { InvalidArgumentError } from 'commander';

export interface StartOptions {
  readonly workers?: string;
  readonly listen?: string;
  readonly minWorkers?: string;
  readonly runDir?: string;
  readonly resume?: string;
  readonly seed?: string;
  readonly set?: readonly string[];
  readonly token?: string;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

export interface WorkerOptions {
  readonly token?: string;
  readonly name?: string;
  readonly threads?: number;
  readonly engine?: EngineName;
  readonly cacheDir?: string;
  readonly advertise?: string;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

export interface StatusOptions {
  readonly token?: string;
  readonly json?: boolean;
}

export interface ExportOptions {
  readonly format: 'tfjs' | 'safetensors';
  readonly out: string;
  readonly json?: boolean;
}

export interface JsonOptions {
  readonly json?: boolean;
}

export interface DoctorOptions {
  readonly bench?: boolean;
  readonly coordinator?: string;
  readonly cacheDir?: string;
  readonly json?: boolean;
}

export interface ScalingOptions {
  readonly workers: readonly number[];
  readonly repeats: number;
  readonly steps: number;
  readonly set?: readonly string[];
  readonly json?: boolean;
}

export function readPositive(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Expected an integer of at least 1.');
  return Number(text);
}

export function readCounts(text: string): number[] {
  if (!/^[1-9]\d{0,3}(,[1-9]\d{0,3})*$/.test(text)) {
    throw new InvalidArgumentError('Expected numbers of workers joined by commas, as in 1,2,4.');
  }
  return [...new Set(text.split(',').map(Number))].sort((a, b) => a - b);
}

export const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];
