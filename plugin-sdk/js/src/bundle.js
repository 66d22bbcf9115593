//! The settings of a bundle, in its package.json. For the build, and for the test double.

import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

import { CONTRACT, DEFAULT } from './host.js';

/** An error of the bundle, whose message is enough. */
export class BuildError extends Error {}

/** Reads the settings of the bundle in a folder. */
export function settings(directory) {
  const path = join(directory, 'package.json');
  const { name = basename(directory), main, jackfield = {} } = read(path);
  return { name: name.split('/').at(-1), main, imports: checked(jackfield.imports ?? DEFAULT, `${path}: jackfield.imports`) };
}

/**
 * The imports of the bundle that is tested: that of the test's file, or of the current folder.
 * `undefined` if there is none.
 */
export function testedImports() {
  for (const start of [dirname(process.argv[1] ?? '.'), '.']) {
    for (let folder = resolve(start), above; folder !== above; above = folder, folder = dirname(folder)) {
      const path = join(folder, 'package.json');
      if (existsSync(path) && isBundle(read(path))) return settings(folder).imports;
    }
  }
  return undefined;
}

/** Checks a list of imports; `name` is its name in messages. */
export function checked(imports, name) {
  if (!Array.isArray(imports)) {
    throw new BuildError(`${name} is no list\n  = help: write a list such as ${JSON.stringify(DEFAULT)}`);
  }
  const unknown = imports.find((one) => !CONTRACT.includes(one));
  if (unknown !== undefined) {
    throw new BuildError(`${name} has the unknown interface \`${unknown}\`\n  = help: expected ${CONTRACT.join(', ')}`);
  }
  return imports;
}

function read(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new BuildError(`cannot read ${path}: ${error.message}`);
  }
}

/** Whether a package is a plugin; others are above it, such as that of a monorepo. */
function isBundle({ jackfield, dependencies, devDependencies }) {
  return jackfield !== undefined || [dependencies, devDependencies].some((all) => all?.['jackfield-plugin'] !== undefined);
}
