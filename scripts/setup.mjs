// Brings a checkout to a runnable state: dependencies installed, packages built. Quick when nothing changed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const stamp = join(root, 'node_modules', '.coord-setup');

function requireNode(major, minor) {
  const [haveMajor, haveMinor] = process.versions.node.split('.').map(Number);
  if (haveMajor > major || (haveMajor === major && haveMinor >= minor)) return;
  process.stderr.write(`coord needs Node ${major}.${minor} or newer; this is ${process.versions.node}.\n`);
  process.exit(1);
}

function run(command, args) {
  // Set-up talks on stderr: stdout belongs to the command that follows (`--json`).
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1', TURBO_NO_UPDATE_NOTIFIER: '1' },
  });
  if (status === 0) return;
  process.stderr.write(`set-up failed: ${command} ${args.join(' ')}${error ? `: ${error.message}` : ''}\n`);
  process.exit(status ?? 1);
}

function installIfLockChanged() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  const wanted = `${lock} node${process.versions.modules} ${process.platform}-${process.arch}`;
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  run('npm', ['ci', '--no-progress', '--loglevel=error']);
  writeFileSync(stamp, wanted);
}

requireNode(20, 19);
installIfLockChanged();
run('npm', ['exec', '--', 'turbo', 'run', 'build', '--output-logs=errors-only', '--log-order=grouped']);
