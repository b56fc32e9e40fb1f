// The browser client's size, its declarations, and whether both tell of the same things.
// node --test types_test.mjs

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { clientFile, Downlink } from "./support.mjs";

const here = new URL(".", import.meta.url);
const source = await readFile(clientFile);
const declarations = await readFile(new URL("downlink.d.ts", clientFile), "utf8");

test("the client is one module without imports, under 6 KB compressed", () => {
  assert.doesNotMatch(String(source), /^import |import\(/m);
  const { length } = gzipSync(source, { level: 9 });
  assert.ok(length < 6000, `${length} bytes`);
});

test("the TypeScript compiler takes what applications write, and nothing else", () => {
  const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", "--module", "nodenext"];
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...flags, "usage.ts"], { cwd: here, encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

test("everything public is declared, and with its default", () => {
  const client = new Downlink("http://test/", { fetch: () => new Promise(() => {}) });
  const names = [...Object.getOwnPropertyNames(Downlink.prototype), ...Object.keys(client),
    ...Object.keys(Downlink).map((name) => `static readonly ${name}`), ...Object.keys(client.stats)];
  client.close();
  for (const name of names) assert.match(declarations, new RegExp(`\\b${name}\\b`), name);
  const [, defaults] = /defaults = \{([^}]*)/.exec(source);
  for (const [, name, value] of defaults.matchAll(/(\w+): ([\w."]+)/g)) {
    assert.match(declarations, new RegExp(`^ {2}${name}\\?:`, "m"), name);
    if (Number(value)) assert.match(declarations, new RegExp(`\\(${value}\\)[^\\0]*\\n {2}${name}\\?:`), `${name}'s default`);
  }
});
