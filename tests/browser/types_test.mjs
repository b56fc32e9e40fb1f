// The browser client's size, its declarations, whether both tell of the same things, and what its documentation shows.
// node --test types_test.mjs

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { clientFile, Downlink } from "./support.mjs";

const here = new URL(".", import.meta.url);
const root = process.env.DOWNLINK_SOURCE_DIR ?? fileURLToPath(new URL("../..", import.meta.url));
const source = await readFile(clientFile);
const declarations = await readFile(new URL("downlink.d.ts", clientFile), "utf8");
const require = createRequire(import.meta.url);
const typescript = require("typescript");

function compile(cwd, file) {
  const flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", "--module", "nodenext"];
  const { status, stdout } = spawnSync(process.execPath, [require.resolve("typescript/bin/tsc"), ...flags, file],
    { cwd, encoding: "utf8" });
  assert.equal(status, 0, stdout);
}

/** The comment before a declaration, without its stars. */
const comment = (node) => typescript.getJSDocCommentsAndTags(node).map((part) => part.getText()).join("\n");

test("the client is one module without imports, under 6 KB compressed", () => {
  assert.doesNotMatch(String(source), /^import |import\(/m);
  const { length } = gzipSync(source, { level: 9 });
  assert.ok(length < 6000, `${length} bytes`);
});

test("the TypeScript compiler takes what applications write, and nothing else", () => compile(here, "usage.ts"));

// What they leave to the reader, and where the client is here.
for (const [where, program] of [
  ["the README", /^```js\n([^]*?)^```/m.exec(await readFile(join(root, "README.md"), "utf8"))?.[1]],
  ["downlink.d.ts", `import { Downlink } from "/downlink.js";\n${
    [...declarations.slice(0, declarations.indexOf("*/")).matchAll(/^ \* {5}(.*\n)/gm)].map(([, line]) => line).join("")}`],
]) test(`the TypeScript compiler takes the program of ${where}`, async (t) => {
  assert.match(program, /addEventListener\("message"/);
  const folder = await mkdtemp(join(tmpdir(), "downlink-types-"));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "program.mts"), `declare function show(data: string | ArrayBuffer, id?: string): void;
declare function reload(): void;
${program.replace('"/downlink.js"', JSON.stringify(fileURLToPath(clientFile)))}`);
  compile(folder, "program.mts");
});

test("everything public is declared, with a comment, and each option with its default", () => {
  const client = new Downlink("http://test/", { fetch: () => new Promise(() => {}) });
  const names = [...Object.getOwnPropertyNames(Downlink.prototype), ...Object.keys(client),
    ...Object.keys(Downlink).map((name) => `static readonly ${name}`), ...Object.keys(client.stats)];
  client.close();
  for (const name of names) assert.match(declarations, new RegExp(`\\b${name}\\b`), name);

  const file = typescript.createSourceFile("downlink.d.ts", declarations, typescript.ScriptTarget.Latest, true);
  const options = {};
  for (const declaration of file.statements) {
    for (const node of [declaration, ...declaration.members ?? []]) assert.ok(comment(node), node.getText());
    if (declaration.name.text !== "DownlinkOptions") continue;
    for (const member of declaration.members) options[member.name.text] = comment(member).replace(/\n *\* /g, " ");
  }
  for (const [name, words] of Object.entries(options)) assert.match(words, /By default /, name);
  const [, defaults] = /defaults = \{([^}]*)/.exec(source);
  for (const [, name, value] of defaults.matchAll(/(\w+): ([\w."]+)/g)) {
    assert.ok(options[name], name);
    if (value !== '""') assert.match(options[name], new RegExp(`By default \`?${value.replaceAll('"', "")}\\b`), name);
  }
});
