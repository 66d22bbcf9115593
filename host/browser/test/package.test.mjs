// Tests of the package: its size, its classic scripts, and the absence of dependencies.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createContext, runInContext } from 'node:vm';
import { gzipSync } from 'node:zlib';

const folder = new URL('../', import.meta.url);
const read = (name) => readFileSync(new URL(name, folder), 'utf8');
const modules = ['sync', 'content', 'maintenance', 'model'];

test('keeps sync.js below its size limit', () => {
  for (const name of ['sync.js', 'sync.classic.js']) {
    const text = read(name);
    const bytes = gzipSync(text).length;
    assert.ok(bytes < 8 * 1024, `${name} has ${bytes} bytes, gzipped`);
    const code = gzipSync(text.replaceAll(/^ *(\/\/|\/\*\*|\*).*\n/gm, '')).length;
    assert.ok(code < 6 * 1024, `${name} has ${code} bytes without comments, gzipped`);
  }
});

test('has classic scripts generated from the modules', () => {
  execFileSync(process.execPath, ['classic.mjs', '--check'], { cwd: folder, stdio: 'pipe' });
});

test('loads the classic scripts into one global, in any order', () => {
  for (const order of [modules, modules.toReversed()]) {
    const context = createContext({ EventTarget, CustomEvent, Error, WeakMap });
    for (const name of order) runInContext(read(`${name}.classic.js`), context);
    const names = runInContext('Object.keys(Jackfield).sort().join(" ")', context);
    assert.equal(names, 'ContentManager Sync SyncError contentTag keepRelevant maintenanceNotice stopTracking');
  }
});

test('has modules without imports', () => {
  for (const name of modules) assert.doesNotMatch(read(`${name}.js`), /^\s*import\b|import\(|require\(/m);
});

test('exports existing files with types', async () => {
  const { exports, dependencies, main, types: mainTypes } = JSON.parse(read('package.json'));
  assert.equal(dependencies, undefined);
  const typed = Object.values(exports).filter((target) => target.types);
  assert.equal(typed.length, modules.length);
  // For tools that do not read `exports`.
  assert.deepEqual({ types: mainTypes, default: main }, exports['.']);
  for (const { types, default: module } of typed) {
    assert.ok(existsSync(new URL(module, folder)) && existsSync(new URL(types, folder)), module);
    for (const name of Object.keys(await import(new URL(module, folder)))) {
      assert.match(read(types), new RegExp(`^export (class|function) ${name}\\b`, 'm'), `${types} says nothing of ${name}`);
    }
  }
});

test('can be packed, installed offline, and imported', () => {
  const site = mkdtempSync(join(tmpdir(), 'jackfield-sync-'));
  try {
    const npm = (...words) => execFileSync('npm', [...words, '--offline', '--silent', '--no-audit', '--no-fund'], {
      cwd: site, encoding: 'utf8', env: { ...process.env, npm_config_cache: join(site, 'cache') },
    });
    const [{ filename, files }] = JSON.parse(npm('pack', folder.pathname, '--json'));
    const names = modules.flatMap((name) => [`${name}.classic.js`, `${name}.d.ts`, `${name}.js`]);
    assert.deepEqual(files.map(({ path }) => path).sort(), ['README.md', 'package.json', ...names].sort());
    writeFileSync(join(site, 'package.json'), '{"private": true, "type": "module"}');
    npm('install', `./${filename}`);
    const page = `
      import { Sync, SyncError } from 'jackfield-sync';
      import { ContentManager, contentTag } from 'jackfield-sync/content';
      import { maintenanceNotice } from 'jackfield-sync/maintenance';
      import { keepRelevant, stopTracking } from 'jackfield-sync/model';
      ${modules.map((name) => `import 'jackfield-sync/${name}.classic.js';`).join('\n')}
      const all = { ContentManager, Sync, SyncError, contentTag, keepRelevant, maintenanceNotice, stopTracking };
      const old = createRequire(import.meta.url).resolve('jackfield-sync');
      console.log(Object.entries(all).every(([name, it]) => typeof it === 'function' && typeof Jackfield[name] === 'function'), old.endsWith('/sync.js'));
    `;
    writeFileSync(join(site, 'page.js'), `import { createRequire } from 'node:module';\n${page}`);
    assert.equal(execFileSync(process.execPath, ['page.js'], { cwd: site, encoding: 'utf8' }), 'true true\n');
  } finally {
    rmSync(site, { recursive: true });
  }
});
