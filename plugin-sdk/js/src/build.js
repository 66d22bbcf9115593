//! `jackfield-plugin build`: makes a component of a folder with a package.json.

import { copyFile, mkdir, mkdtemp, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

import { BuildError, settings } from './bundle.js';

export { BuildError } from './bundle.js';

const WIT = fileURLToPath(new URL('plugin.wit', import.meta.url));
const SDK = dirname(dirname(WIT));
const RANDOM = 'package wasi:random@0.2.6;\n\ninterface random {\n  get-random-bytes: func(len: u64) -> list<u8>;\n}\n';

/** Builds the component of the folder. Returns the path and the size of the file. */
export async function build(folder, out) {
  const directory = await realpath(folder);
  const { name, main = 'plugin.js', imports } = settings(directory);
  const componentize = await compiler();
  const target = resolve(out ?? join(folder, `${name}.wasm`));
  const scratch = await mkdtemp(join(tmpdir(), 'jackfield-'));
  try {
    await writeWit(scratch, imports);
    const { component } = await componentize({
      witPath: scratch,
      world: 'component',
      jsSource: entry(main, imports),
      jsPath: join(directory, 'package.json'),
      moduleRoot: await moduleRoot(directory, main),
      sync: true,
      optSize: true,
    });
    // Renamed into place, so that a server never reads an incomplete file.
    await mkdir(dirname(target), { recursive: true });
    const incomplete = join(dirname(target), `.${basename(target)}.${process.pid}`);
    await writeFile(incomplete, component);
    await rename(incomplete, target);
    return { target, size: component.length };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The compiler, which npm installs with this package. */
async function compiler() {
  try {
    return (await import('componentize-qjs')).componentize;
  } catch (error) {
    throw new BuildError(
      `cannot load componentize-qjs: ${error.message}\n  = help: if this package is a folder, install it with its dependencies: npm install --install-links`,
    );
  }
}

/** The contract, with a world that has the imports of this plugin. */
async function writeWit(scratch, imports) {
  await mkdir(join(scratch, 'deps', 'random'), { recursive: true });
  await mkdir(join(scratch, 'deps', 'plugin'), { recursive: true });
  await copyFile(WIT, join(scratch, 'deps', 'plugin', 'plugin.wit'));
  await writeFile(join(scratch, 'deps', 'random', 'random.wit'), RANDOM);
  const used = ['request', ...imports].map((one) => `  import jackfield:plugin/${one}@0.2.0;\n`).join('');
  const answers = hasAnswers(imports) ? '  export jackfield:plugin/answers@0.2.0;\n' : '';
  await writeFile(
    join(scratch, 'world.wit'),
    `package jackfield:bundle;\n\nworld component {\n${used}  import wasi:random/random@0.2.6;\n  export jackfield:plugin/handler@0.2.0;\n${answers}}\n`,
  );
}

/** The module that joins the plugin and the contract. */
function entry(main, imports) {
  const parts = ['request', ...imports];
  const module = `./${main.replace(/^\.\//, '')}`;
  return [
    "import { component } from 'jackfield-plugin/component';",
    ...parts.map((one) => `import * as ${one} from 'jackfield:plugin/${one}@0.2.0';`),
    "import { getRandomBytes as random } from 'wasi:random/random@0.2.6';",
    `import plugin from ${JSON.stringify(module)};`,
    `const exported = component(plugin, { random, ${parts.join(', ')} });`,
    'export const { handler } = exported;',
    ...(hasAnswers(imports) ? ['export const { answers } = exported;'] : []),
  ].join('\n');
}

/** Whether effects of the plugin have answers. */
function hasAnswers(imports) {
  return imports.includes('http') || imports.includes('calls');
}

/** The folder that the build can read: that of the bundle, or a parent that has the SDK as well. */
async function moduleRoot(directory, main) {
  const module = resolve(directory, main);
  if (!(await isFile(module))) {
    throw new BuildError(`cannot read ${module}\n  = help: \`main\` in package.json names the module of the plugin`);
  }
  const sdk = await realpath(SDK);
  let root = directory;
  while (!isBelow(sdk, root) || !isBelow(module, root)) root = dirname(root);
  return root;
}

async function isFile(path) {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

function isBelow(path, root) {
  const way = relative(root, path);
  return !isAbsolute(way) && way !== '..' && !way.startsWith(`..${sep}`);
}
