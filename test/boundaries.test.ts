/** `ls packages/` is the architecture: this test is what keeps its arrows pointing one way. */
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Who may import whom. A package sees only packages above it, and of those only the ones named. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  protocol: [],
  models: ['protocol'],
  disk: ['protocol'],
  data: ['protocol', 'disk'],
  checkpoint: ['protocol', 'disk'],
  transport: ['protocol'],
  engine: ['protocol', 'models'],
  ring: ['protocol', 'transport'],
  coordinator: ['protocol', 'disk', 'transport', 'data', 'checkpoint'],
  worker: ['protocol', 'disk', 'models', 'data', 'checkpoint', 'transport', 'engine', 'ring'],
  cli: ['protocol', 'disk', 'models', 'data', 'checkpoint', 'transport', 'engine', 'ring', 'coordinator', 'worker'],
};

/** The only packages in which a tensor library may be named. */
const TENSOR_LIBRARIES = /^(@tensorflow\/|onnxruntime)/;
const MAY_COMPUTE = ['models', 'engine'];

interface Import {
  readonly file: string;
  readonly specifier: string;
}

function sourceFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(directory, file));
}

function importsOf(name: string): Import[] {
  return sourceFiles(join(root, 'packages', name, 'src')).flatMap((file) => {
    const text = readFileSync(file, 'utf8');
    const specifiers = text.matchAll(/(?<![.\w])(?:from|import)\s*\(?\s*'([^']+)'/g);
    return [...specifiers].map((match) => ({ file: file.slice(root.length + 1), specifier: match[1] }));
  });
}

interface Manifest {
  readonly dependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

const manifestOf = (name: string): Manifest =>
  JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'));

const packageOf = (specifier: string) =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

describe('packages', () => {
  it('are all listed here', () => {
    expect(readdirSync(join(root, 'packages')).sort()).toEqual(Object.keys(MAY_IMPORT).sort());
  });

  it.each(Object.keys(MAY_IMPORT))('%s imports and declares only what it may', (name) => {
    const allowed = MAY_IMPORT[name].map((other) => `@coord/${other}`);
    const declared = Object.keys(manifestOf(name).dependencies ?? {}).filter((other) => other.startsWith('@coord/'));
    const imported = importsOf(name).filter(({ specifier }) => specifier.startsWith('@coord/'));
    expect(declared.filter((other) => !allowed.includes(other))).toEqual([]);
    expect(imported.filter(({ specifier }) => !allowed.includes(packageOf(specifier)))).toEqual([]);
  });

  it.each(Object.keys(MAY_IMPORT))('%s declares everything that it imports', (name) => {
    const manifest = manifestOf(name);
    const declared = new Set(
      [manifest.dependencies, manifest.peerDependencies, manifest.optionalDependencies].flatMap((list) =>
        Object.keys(list ?? {}),
      ),
    );
    const undeclared = importsOf(name).filter(({ specifier }) => {
      if (specifier.startsWith('.') || specifier.startsWith('node:') || builtinModules.includes(specifier))
        return false;
      return !declared.has(packageOf(specifier));
    });
    expect(undeclared).toEqual([]);
  });

  it.each(Object.keys(MAY_IMPORT))('%s does not import its own barrel', (name) => {
    const barrel = importsOf(name).filter(
      ({ specifier }) => specifier === `@coord/${name}` || /^\.\.?(\/\.\.)*\/index\.js$/.test(specifier),
    );
    expect(barrel).toEqual([]);
  });

  it.each(Object.keys(MAY_IMPORT).filter((name) => !MAY_COMPUTE.includes(name)))(
    '%s names no tensor library',
    (name) => {
      expect(importsOf(name).filter(({ specifier }) => TENSOR_LIBRARIES.test(specifier))).toEqual([]);
    },
  );

  it('would be caught: the rule itself has no cycle', () => {
    const order = Object.keys(MAY_IMPORT);
    for (const [index, name] of order.entries()) {
      for (const other of MAY_IMPORT[name]) expect(order.indexOf(other), `${name} → ${other}`).toBeLessThan(index);
    }
  });
});
