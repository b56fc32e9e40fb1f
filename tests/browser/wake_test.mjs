// The browser client in pages that are hidden, offline or asleep, in Chromium.
// DOWNLINK_HUB=path/to/hub CHROMIUM=path/to/chromium node --test wake_test.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { FaultyProxy, inPage, messagesOf, of, opened, until } from "./faults.mjs";
import { Downlink, startBrowser, startHub } from "./support.mjs";

let hub;
let browser;
let number = 0;

before(async () => {
  hub = await startHub("--heartbeat", "0.5", "--telemetry", "off");
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await hub?.stop();
});

async function setUp(t, options) {
  const proxy = await new FaultyProxy({ host: "127.0.0.1", port: hub.port }).start(t);
  const page = await browser.newPage();
  t.after(() => page.close());
  const channel = `w${number += 1}`;
  const client = await inPage(page)(`${proxy.address}/channels/${channel}`, { cursor: "earliest", ...options });
  const publish = (text) => hub.publish(channel, text);
  const texts = async () => (await messagesOf(client)).map(({ data }) => data);
  return { proxy, page, client, publish, texts };
}

/** As when its tab goes to the background or comes back: headless Chromium shows all pages. */
const show = (page, visible) => page.evaluate((shown) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => !shown });
  document.dispatchEvent(new Event("visibilitychange"));
}, visible);

for (const transport of ["short-polling", "long-polling"]) {
  test(`${transport} rests while its page is hidden, and goes on at once when it is shown`, async (t) => {
    const { page, client, publish, texts } = await setUp(t, { transport, pollInterval: 20, wait: 1 });
    await opened(client, transport);
    await show(page, false);
    const requests = async () => (await client.get("stats")).requests;
    // What was under way ends; then nothing more is asked.
    let before;
    await until(client, async () => {
      const earlier = before;
      before = await requests();
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return before === earlier;
    });
    await publish("while hidden");
    assert.deepEqual(await texts(), []);
    await show(page, true);
    await until(client, async () => (await texts()).length === 1);
    assert.deepEqual(await of(client, "error"), []);
  });
}

test("streams go on in hidden pages", async (t) => {
  for (const transport of ["websocket", "sse"]) {
    const { page, client, publish, texts } = await setUp(t, { transport });
    await opened(client, transport);
    await show(page, false);
    await publish("while hidden");
    await until(client, async () => (await texts()).length === 1);
  }
});

test("a page that is offline does not try, and connects at once when the network is back", async (t) => {
  for (const transport of ["websocket", "sse", "long-polling", "short-polling"]) {
    const { page, client, publish, texts } = await setUp(t, { transport, pollInterval: 1e6 });
    await opened(client, transport);
    await page.context().setOffline(true);
    await until(client, async () => await client.get("readyState") === Downlink.CONNECTING);
    const { requests } = await client.get("stats");
    await publish("while offline");
    await new Promise((resolve) => setTimeout(resolve, 1200));  // longer than the first wait would be
    assert.equal((await client.get("stats")).requests, requests);
    await page.context().setOffline(false);
    await until(client, async () => (await texts()).length === 1);
    assert.equal((await client.get("stats")).requests - requests <= 2, true);
    // What was under way may fail before the page is told.
    assert.ok((await of(client, "error")).length <= 2);
  }
});

test("streams of a hidden page come back with the network", async (t) => {
  for (const transport of ["websocket", "sse"]) {
    const { page, client, publish, texts } = await setUp(t, { transport });
    await opened(client, transport);
    await show(page, false);
    await page.context().setOffline(true);
    await until(client, async () => await client.get("readyState") === Downlink.CONNECTING);
    await publish("while offline");
    await page.context().setOffline(false);
    await until(client, async () => (await texts()).length === 1);
  }
});

test("a page that is shown while it waits to try again does not wait", async (t) => {
  const { page, proxy, client } = await setUp(t, { transport: "sse" });
  await opened(client, "sse");
  proxy.status = 503;
  proxy.cut();
  // The hub's own hint is to wait for three seconds.
  await until(client, async () => (await of(client, "error")).length === 1);
  proxy.status = 0;
  const began = Date.now();
  await show(page, true);
  await until(client, async () => (await of(client, "open")).length === 2);
  assert.ok(Date.now() - began < 2900, `${Date.now() - began} ms`);
});

test("a machine that wakes finds its connections dead, and keeps its transport", async (t) => {
  for (const transport of ["websocket", "sse"]) {
    const { page, proxy, client, publish, texts } = await setUp(t, { timeout: 1500, patience: 1000 });
    const order = transport === "sse" ? ["sse", "long-polling"] : undefined;
    const other = order && await inPage(page)(await client.get("url"), { transport: order, timeout: 1500, patience: 1000 });
    const sleeper = other ?? client;
    await opened(sleeper, transport);
    proxy.stall();
    // No timer runs, no byte comes, and the clock goes on.
    const sleep = page.evaluate(() => { for (const morning = Date.now() + 4000; Date.now() < morning;); });
    await publish("while asleep");
    await sleep;
    await until(sleeper, async () => (await of(sleeper, "open")).length === 2);
    await until(client, async () => (await texts()).length === 1);
    assert.deepEqual((await of(sleeper, "transport")).map((event) => event.transport), [transport]);
  }
});
