// TLS between the hub and others' implementations: Node's https, the package ws, and Chromium.
// DOWNLINK_HUB=path/to/hub CHROMIUM=path/to/chromium node --test tls_test.mjs

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { WebSocket } from "ws";

const folder = mkdtempSync(join(tmpdir(), "downlink-tls-"));
const key = join(folder, "key.pem");
const cert = join(folder, "cert.pem");
let hub;
let address;
let ca;

before(async () => {
  assert.ok(process.env.DOWNLINK_HUB, "DOWNLINK_HUB has to name the hub's binary");
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "1",
    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], { stdio: "ignore" });
  ca = readFileSync(cert);
  hub = spawn(process.env.DOWNLINK_HUB, ["--port", "0", "--tls-cert", cert, "--tls-key", key, "--telemetry", "off"],
    { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface(hub.stdout), "line");
  [, address] = /^listening on https:\/\/(\S+)$/.exec(line) ?? assert.fail(`unexpected first line: ${line}`);
});

after(async () => {
  const gone = once(hub, "exit");
  hub.kill("SIGTERM");
  await gone;
  rmSync(folder, { recursive: true });
});

/** One request, its answer and the whole body; `upTo` ends it once that has come. */
async function ask(path, { method = "GET", headers = {}, body, agent, upTo } = {}) {
  const sent = request(`https://${address}${path}`, { method, headers, ca, agent });
  sent.end(body);
  const [answer] = await once(sent, "response");
  let text = "";
  for await (const chunk of answer) {
    text += chunk;
    if (upTo && text.includes(upTo)) break;
  }
  return { status: answer.statusCode, text, socket: answer.socket, headers: answer.headers };
}

test("Node publishes, polls and streams over one TLS connection after another", async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca });
  const posted = await ask("/channels/node", { method: "POST", body: "first", agent });
  assert.equal(posted.status, 202);
  const { id } = JSON.parse(posted.text);
  const polled = await ask("/channels/node?cursor=earliest", { agent });
  assert.deepEqual(JSON.parse(polled.text).messages, [{ id, data: "first" }]);
  const held = ask(`/channels/node?wait=20&cursor=${id}`, { agent });
  await ask("/channels/node", { method: "POST", body: "second" });
  assert.equal(JSON.parse((await held).text).messages[0].data, "second");
  agent.destroy();
  const stream = await ask("/channels/node?cursor=earliest",
    { headers: { Accept: "text/event-stream" }, upTo: "data: second\n\n" });
  assert.match(stream.text, /data: first\n/);
});

test("ws sends and gets messages of many sizes over TLS", async () => {
  const client = new WebSocket(`wss://${address}/channels/ws`, { ca });
  const got = [];
  client.on("message", (data) => got.push(data.toString()));
  await once(client, "open");
  const sizes = [0, 1, 125, 126, 16_383, 16_384, 16_385, 65_536, 1_000_000];
  for (const size of sizes) {
    client.send("x".repeat(size));
    if (got.length < sizes.indexOf(size) + 1) await once(client, "message");
  }
  assert.deepEqual(got.map((text) => text.length), sizes);
  client.close(1000);
  assert.equal((await once(client, "close"))[0], 1000);
});

test("Chromium uses every transport over TLS", async (t) => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--ignore-certificate-errors"] });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`https://${address}/healthz`);
  const seen = await page.evaluate(async () => {
    const late = (what) => new Promise((_, reject) => setTimeout(() => reject(new Error(what)), 20_000));
    const path = "/channels/browser";
    const events = new EventSource(path);
    await Promise.race([new Promise((resolve) => { events.onopen = resolve; }), late("no EventSource")]);
    const socket = new WebSocket(`wss://${location.host}${path}`);
    await Promise.race([new Promise((resolve) => { socket.onopen = resolve; }), late("no WebSocket")]);
    const { cursor } = await (await fetch(path)).json();
    const held = fetch(`${path}?wait=20&cursor=${cursor}`).then((answer) => answer.json());
    const bySse = new Promise((resolve) => { events.onmessage = ({ data }) => resolve(data); });
    const byWs = new Promise((resolve) => { socket.onmessage = ({ data }) => resolve(data); });
    const posted = await fetch(path, { method: "POST", body: "from the page" });
    const all = Promise.all([bySse, byWs, held]);
    const [sse, ws, poll] = await Promise.race([all, late("no message")]);
    events.close();
    socket.close();
    return { status: posted.status, sse, ws, poll: poll.messages[0].data };
  });
  assert.deepEqual(seen, { status: 202, sse: "from the page", ws: "from the page", poll: "from the page" });
});
