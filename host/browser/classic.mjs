// Generator of the classic scripts: the sources of the modules, with their exports as members of the
// global `Jackfield`. Run it after each change of a module: node classic.mjs
//
// With --check, it writes nothing, and fails if a classic script is out of date.

import { readFileSync, writeFileSync } from 'node:fs';

const MODULES = ['sync', 'content', 'maintenance', 'model'];

function classic(source) {
  const names = [];
  const body = source.replace(/^export (async function|function|class) (\w+)/gm, (_all, kind, name) => {
    names.push(name);
    return `${kind} ${name}`;
  });
  if (/^(import|export)\b/m.test(body)) throw new Error('unsupported kind of import or export');
  return `'use strict';\n(() => {\n${body}\n`
    + `globalThis.Jackfield = Object.assign(globalThis.Jackfield ?? {}, { ${names.join(', ')} });\n})();\n`;
}

let stale = false;
for (const name of MODULES) {
  const source = readFileSync(new URL(`${name}.js`, import.meta.url), 'utf8');
  const target = new URL(`${name}.classic.js`, import.meta.url);
  const script = classic(source);
  if (!process.argv.includes('--check')) writeFileSync(target, script);
  else if (readFileSync(target, 'utf8') !== script) {
    console.error(`${name}.classic.js is out of date: run node classic.mjs in host/browser`);
    stale = true;
  }
}
process.exitCode = stale ? 1 : 0;
