// node build.mjs app.js plugin.wit app.wasm
import { componentize } from '@bytecodealliance/componentize-js';
import { readFile, writeFile } from 'node:fs/promises';

const [source, wit, target] = process.argv.slice(2);
const { component } = await componentize(await readFile(source, 'utf8'), { witPath: wit, worldName: 'plugin' });
await writeFile(target, component);
