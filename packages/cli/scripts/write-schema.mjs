// Writes what is generated: the JSON Schema for editors, the table of docs/configuration.md, the help in docs/cli.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { withCommands } from '../dist/command-reference.js';
import { jsonSchemaText } from '../dist/config/json-schema.js';
import { withReference } from '../dist/config/reference.js';

const root = new URL('../../../', import.meta.url);
const rewrite = (path, change) => {
  const file = new URL(path, root);
  writeFileSync(file, change(readFileSync(file, 'utf8')));
};

writeFileSync(new URL('configs/coord.schema.json', root), jsonSchemaText());
rewrite('docs/configuration.md', withReference);
rewrite('docs/cli.md', withCommands);
