// Writes what is generated from the configuration's schema: the JSON Schema for editors and the table of docs/configuration.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { jsonSchemaText } from '../dist/config/json-schema.js';
import { withReference } from '../dist/config/reference.js';

const root = new URL('../../../', import.meta.url);
writeFileSync(new URL('configs/coord.schema.json', root), jsonSchemaText());
const document = new URL('docs/configuration.md', root);
writeFileSync(document, withReference(readFileSync(document, 'utf8')));
