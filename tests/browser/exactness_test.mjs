// Clients of every kind, in Node and in Chromium, behind a proxy that fails in another way again and again: each of them
// gets each message once and in order.
// DOWNLINK_HUB=path/to/hub DOWNLINK_EXACTNESS_SECONDS=1800 node --test exactness_test.mjs   (15 seconds unless said)
// DOWNLINK_EXACTNESS_SEED=N repeats the order of faults.

import assert from "node:assert/strict";
import { test } from "node:test";
import { count, FaultyProxy, inNode, inPage, messagesOf, of } from "./faults.mjs";
import { eventually, startBrowser, startHub, transports } from "./support.mjs";

const seconds = Number(process.env.DOWNLINK_EXACTNESS_SECONDS ?? 15);
let seed = Number(process.env.DOWNLINK_EXACTNESS_SEED ?? Date.now() % 1e9);
const first = seed;

/** From [0, 1), the same for the same seed (mulberry32). */
function random() {
  seed = (seed + 0x6D2B79F5) | 0;
  let mixed = Math.imul(seed ^ seed >>> 15, 1 | seed);
  mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
  return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
}
const pick = (list) => list[Math.floor(random() * list.length)];
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const faults = {
  cut: (proxy) => proxy.cut(),
  stall: (proxy) => proxy.stall(),
  "no upgrade": (proxy) => { proxy.upgrade = pick(["refuse", "hang", "strip"]); },
  buffering: (proxy) => { proxy.buffering = true; },
  "503": (proxy) => {
    proxy.status = 503;
    proxy.cut();
  },
  "no waiting": (proxy) => { proxy.hold = 300; },
  "all well": (proxy) => Object.assign(proxy, { upgrade: "pass", buffering: false, status: 0, hold: 0 }),
};

test(`each message comes once through ${seconds} seconds of faults`, async (t) => {
  t.diagnostic(`DOWNLINK_EXACTNESS_SEED=${first}`);
  const hub = await startHub("--heartbeat", "0.5", "--history", 10_000_000, "--history-bytes", 1 << 30, "--telemetry", "off");
  const browser = await startBrowser();
  t.after(async () => {
    await browser.close();
    await hub.stop();
  });
  const proxy = await new FaultyProxy({ host: "127.0.0.1", port: hub.port }).start(t);
  const options = { cursor: "earliest", pollInterval: 100, wait: 2, timeout: 1500, patience: 1000, upgradeAfter: 1000 };
  const url = `${proxy.address}/channels/exact`;
  const clients = {};
  for (const [agent, open] of [["Node", inNode(t)], ["Chromium", inPage(await browser.newPage())]]) {
    // More would be too many for one page: a browser opens six connections to a host, and a stalled one is among them.
    for (const transport of agent === "Node" ? ["auto", ...transports] : ["auto", "websocket", "long-polling"]) {
      clients[`${transport} in ${agent}`] = await open(url, { ...options, transport });
    }
  }

  const stop = count(hub, "exact");
  const happened = {};
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await pause(200 + 1800 * random())) {
    faults["all well"](proxy);
    const fault = pick(Object.keys(faults));
    happened[fault] = (happened[fault] ?? 0) + 1;
    faults[fault](proxy);
  }
  faults["all well"](proxy);
  const last = await stop();
  t.diagnostic(`${last} messages; ${JSON.stringify(happened)}`);

  const expected = Array.from({ length: last }, (_, index) => index + 1);
  for (const [name, client] of Object.entries(clients)) {
    await eventually(async () => (await client.get("stats")).messages >= last, `${name} does not get everything`, 60_000);
    assert.deepEqual((await messagesOf(client)).map(({ data }) => Number(data)), expected, name);
    assert.deepEqual(await of(client, "gap"), [], name);
    const { reconnects, requests } = await client.get("stats");
    const used = (await of(client, "transport")).length;
    t.diagnostic(`${name}: ${reconnects} reconnects, ${used - 1} changes of transport, ${requests} requests`);
    await client.call("close");
  }
});
