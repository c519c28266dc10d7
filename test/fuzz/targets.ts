/** Every parser of what comes from a socket or a file, with inputs to start from. */
import type { FuzzTarget } from './fuzz.js';
import { FILE_TARGETS } from './targets/files.js';
import { MESSAGE_TARGETS } from './targets/messages.js';
import { MODEL_TARGETS } from './targets/models.js';
import { REQUEST_TARGETS } from './targets/requests.js';
import { STATE_TARGETS } from './targets/states.js';
import { WIRE_TARGETS } from './targets/wire.js';

export const TARGETS: readonly FuzzTarget[] = [
  ...WIRE_TARGETS,
  ...MESSAGE_TARGETS,
  ...STATE_TARGETS,
  ...FILE_TARGETS,
  ...MODEL_TARGETS,
  ...REQUEST_TARGETS,
];
