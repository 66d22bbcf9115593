// What is shipped: its size, its classic scripts, and that it depends on nothing.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { createContext, runInContext } from 'node:vm';
import { gzipSync } from 'node:zlib';

const folder = new URL('../', import.meta.url);
const read = (name) => readFileSync(new URL(name, folder), 'utf8');
const modules = ['sync', 'content', 'maintenance', 'model'];

test('sync.js stays small', () => {
  for (const name of ['sync.js', 'sync.classic.js']) {
    const bytes = gzipSync(read(name)).length;
    assert.ok(bytes < 6 * 1024, `${name} has ${bytes} bytes, gzipped`);
  }
});

test('the classic scripts are those of the modules', () => {
  execFileSync(process.execPath, ['classic.mjs', '--check'], { cwd: folder, stdio: 'pipe' });
});

test('the classic scripts put everything into one global, in any order', () => {
  for (const order of [modules, modules.toReversed()]) {
    const context = createContext({ EventTarget, CustomEvent, Error, WeakMap });
    for (const name of order) runInContext(read(`${name}.classic.js`), context);
    const names = runInContext('Object.keys(Jackfield).sort().join(" ")', context);
    assert.equal(names, 'ContentManager Sync SyncError contentTag keepRelevant maintenanceNotice stopTracking');
  }
});

test('no module imports anything', () => {
  for (const name of modules) assert.doesNotMatch(read(`${name}.js`), /^\s*import\b|import\(|require\(/m);
});

test('the package has what it exports, and types for all of it', async () => {
  const { exports, dependencies } = JSON.parse(read('package.json'));
  assert.equal(dependencies, undefined);
  assert.equal(Object.keys(exports).length, modules.length);
  for (const { types, default: module } of Object.values(exports)) {
    assert.ok(existsSync(new URL(module, folder)) && existsSync(new URL(types, folder)), module);
    for (const name of Object.keys(await import(new URL(module, folder)))) {
      assert.match(read(types), new RegExp(`^export (class|function) ${name}\\b`, 'm'), `${types} says nothing of ${name}`);
    }
  }
  assert.ok(readdirSync(folder).includes('README.md'));
});
