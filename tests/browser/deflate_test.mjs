// permessage-deflate (RFC 7692) between the hub and others' implementations: the package ws, and Chromium.
// DOWNLINK_HUB=path/to/hub CHROMIUM=path/to/chromium node --test deflate_test.mjs

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { WebSocket } from "ws";

const maxMessage = 1 << 20;
let hub;
let address;

before(async () => {
  assert.ok(process.env.DOWNLINK_HUB, "DOWNLINK_HUB has to name the hub's binary");
  const options = ["--port", "0", "--deflate", "--telemetry", "off", "--max-lag", 64 << 20];
  hub = spawn(process.env.DOWNLINK_HUB, options, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface(hub.stdout), "line");
  [, address] = /^listening on http:\/\/(\S+)$/.exec(line) ?? assert.fail(`unexpected first line: ${line}`);
});

after(async () => {
  const gone = once(hub, "exit");
  hub.kill("SIGTERM");
  await gone;
});

const answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/** A connected client that keeps what it receives; `got(n)` waits until that is n messages. */
async function join(t, channel, perMessageDeflate) {
  const client = new WebSocket(`ws://${address}/channels/${channel}`, [], { perMessageDeflate, maxPayload: 2 * maxMessage });
  const connected = Promise.all([once(client, "upgrade"), once(client, "open")]);
  const messages = [];
  let check = () => {};
  client.on("message", (data, binary) => {
    messages.push(binary ? data : data.toString());
    check();
  });
  t.after(() => client.terminate());
  const [[response]] = await connected;
  const got = (count) => new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${messages.length} of ${count} messages came`)), 20_000);
    client.on("close", (code) => reject(new Error(`closed with ${code}`)));
    check = () => {
      if (messages.length < count) return;
      clearTimeout(late);
      resolve(messages);
    };
    check();
  });
  return { client, messages, got, extensions: response.headers["sec-websocket-extensions"] };
}

/** Texts and bytes of many sizes, those that compress and those that don't. */
const samples = [0, 1, 31, 32, 125, 126, 300, 5_000, 65_535, 65_536, 300_000, maxMessage].flatMap((size) => [
  Array.from({ length: Math.ceil(size / 8) }, (_, i) => `gr\u00fc\u00df${i * i % 97}`).join(" ").slice(0, size / 2),
  ...(size > 0 ? [randomBytes(size)] : []),
]);

const offers = {
  "the defaults": [true, answer],
  "no context takeover": [{ serverNoContextTakeover: true, clientNoContextTakeover: true }, answer],
  "the smallest window but one": [{ serverMaxWindowBits: 9 }, `${answer}; server_max_window_bits=9`],
  "a small window for the client": [{ clientMaxWindowBits: 10, serverMaxWindowBits: 12 },
    `${answer}; server_max_window_bits=12`],
  "no threshold, best compression": [{ threshold: 0, zlibDeflateOptions: { level: 9, memLevel: 9 } }, answer],
  "fixed codes": [{ threshold: 0, zlibDeflateOptions: { memLevel: 1, strategy: 4 } }, answer],
  "nothing": [false, undefined],
};

test("ws gets what ws sends, whatever either offers", async (t) => {
  const clients = [];
  for (const [name, [offer, expected]] of Object.entries(offers)) {
    const client = await join(t, "mixed", offer);
    assert.equal(client.extensions, expected, name);
    clients.push(client);
  }
  let count = 0;
  for (const { client } of clients) {
    for (const sample of samples) client.send(sample);
    count += samples.length;
    // One sender at a time: the order of all is that of its messages.
    for (const { got } of clients) await got(count);
  }
  for (const { messages } of clients) {
    for (const [index, message] of messages.entries()) {
      const sample = samples[index % samples.length];
      const same = typeof sample === "string" ? message === sample : sample.equals(message);
      assert.ok(same, `message ${index}, of ${sample.length}`);
    }
  }
});

test("ws may send in fragments, with a ping among them", async (t) => {
  const { client, got } = await join(t, "fragments", { threshold: 0 });
  const half = "fragment ".repeat(5_000);
  client.send(half, { fin: false });
  client.ping();
  client.send(half, { fin: false });
  client.send("end", { fin: true });
  assert.deepEqual(await got(1), [`${half}${half}end`]);
});

test("ws is told 1009 when its message inflates to more than the limit", async (t) => {
  const { client } = await join(t, "bomb", true);
  client.send("x".repeat(maxMessage + 1));
  const [code] = await once(client, "close");
  assert.equal(code, 1009);
});

test("Chromium agrees on compression by itself, and gets what it sends", async (t) => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"] });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`http://${address}/healthz`);
  const seen = await page.evaluate(async (count) => {
    const socket = new WebSocket(`ws://${location.host}/channels/browser`, "downlink.v1");
    const received = [];
    await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error(`${received.length} messages came`)), 20_000);
      socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
      socket.onmessage = ({ data }) => {
        received.push(data);
        if (received.length === 1) for (let i = 0; i < count; ++i) socket.send(`gr\u00fc\u00df ${i} `.repeat(i * i));
        if (received.length > count) resolve();
      };
    });
    return { extensions: socket.extensions, protocol: socket.protocol, received };
  }, 60);
  assert.match(seen.extensions, /^permessage-deflate; server_no_context_takeover; client_no_context_takeover/);
  assert.equal(seen.protocol, "downlink.v1");
  for (let i = 0; i < 60; ++i) {
    const message = seen.received[i + 1];
    assert.equal(message.slice(message.indexOf("\n\n") + 2), `gr\u00fc\u00df ${i} `.repeat(i * i));
  }
});
