#!/usr/bin/env node
//! The command `jackfield-plugin`.

import { parseArgs } from 'node:util';

import { BuildError, build } from '../src/build.js';

const USAGE = `Build a plugin for Jackfield from JavaScript

Usage: jackfield-plugin build [--out FILE] [DIR]

Arguments:
  [DIR]         Folder with the package.json of the bundle [default: .]

Options:
  --out <FILE>  Component to write [default: DIR/NAME.wasm]
  -h, --help    Print help
`;

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { out: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const [command, folder = '.', ...rest] = positionals;
  if (command !== 'build' || rest.length > 0) throw new BuildError(USAGE.trimEnd());
  const { target, size } = await build(folder, values.out);
  // `jackfield build` names a file of its own with --out, and reports the component itself.
  if (values.out === undefined) console.log(`${target}: ${(size / 1024 / 1024).toFixed(2)} MiB`);
}

/** The message of an error, without the steps of the compiler and the frames of this package. */
function told({ message }) {
  const own = message.replace(/^(: )?(Failed to [^:\n]*: )*(Error: )?/, '');
  const lines = own.split('\n').filter((line) => !line.includes('/jackfield-plugin/src/'));
  return lines.join('\n').trimEnd();
}

main().catch((error) => {
  console.error(`error: ${told(error)}`);
  process.exitCode = 1;
});
