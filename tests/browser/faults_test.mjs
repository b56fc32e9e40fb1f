// The browser client against the real hub, in Node and in Chromium, behind a proxy that fails in each way that it has an
// answer to. Whatever happens, each message comes once and in order.
// DOWNLINK_HUB=path/to/hub CHROMIUM=path/to/chromium node --test faults_test.mjs

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { count, FaultyProxy, inNode, inPage, messagesOf, of, opened, until } from "./faults.mjs";
import { Downlink, startBrowser, startHub, transports } from "./support.mjs";

/** Everything soon, but what a test is not about. */
const quick = { cursor: "earliest", pollInterval: 30, patience: 1500, upgradeAfter: 1e8 };
const hubOptions = ["--heartbeat", "1", "--history", "100000", "--telemetry", "off"];

let hub;
let browser;
let page;
let number = 0;

before(async () => {
  hub = await startHub(...hubOptions);
  browser = await startBrowser();
  page = await browser.newPage();
});
after(async () => {
  await browser?.close();
  await hub?.stop();
});

/** A channel that counts behind a faulty proxy, and what opens clients of it. */
async function setUp(t, agent, faults = {}) {
  const proxy = await Object.assign(new FaultyProxy({ host: "127.0.0.1", port: hub.port }), faults).start(t);
  const open = agent === "Node" ? inNode(t) : inPage(page);
  const channel = `c${number += 1}`;
  const stop = count(hub, channel);
  t.after(stop);
  const client = await open(`${proxy.address}/channels/${channel}`, { ...quick, ...t.options });
  t.after(() => client.call("close").catch(() => {}));
  return { proxy, client, stop, channel, open };
}

/** Waits until everything that was published has come, and judges it. */
async function exact(client, stop) {
  const last = await stop();
  await until(client, async () => (await messagesOf(client)).length >= last);
  const numbers = (await messagesOf(client)).map(({ data }) => Number(data));
  assert.deepEqual(numbers, Array.from({ length: last }, (_, index) => index + 1));
  assert.deepEqual(await of(client, "gap"), []);
}

for (const agent of ["Node", "Chromium"]) describe(agent, () => {
  for (const transport of transports) {
    test(`${transport} brings text, events and bytes, and takes what is sent`, async (t) => {
      t.options = { transport, wait: 5 };
      const { client, stop, channel } = await setUp(t, agent);
      await opened(client, transport);
      await exact(client, stop);
      const before = (await messagesOf(client)).length;
      await hub.publish(channel, "gr\u00fc\u00df\r\n\u{1f680}\n", "price");
      await hub.publish(channel, Uint8Array.from([0, 10, 10, 255]), "image");
      await until(client, async () => (await messagesOf(client)).length === before + 2);
      await client.call("send", "up");
      await client.sendBytes([1, 0, 255]);
      await until(client, async () => (await messagesOf(client)).length === before + 4);
      const seen = (await messagesOf(client)).slice(before).map(({ event, data }) => [event, data]);
      // A stream of lines has but one kind of line end (WHATWG HTML, "Interpreting an event stream").
      const text = transport === "sse" ? "gr\u00fc\u00df\n\u{1f680}\n" : "gr\u00fc\u00df\r\n\u{1f680}\n";
      assert.deepEqual(seen, [["price", text], ["image", [0, 10, 10, 255]], ["message", "up"], ["message", [1, 0, 255]]]);
    });
  }

  for (const upgrade of ["refuse", "hang", "strip"]) {
    test(`where upgrades are met with "${upgrade}", SSE takes over`, async (t) => {
      const { client, stop } = await setUp(t, agent, { upgrade });
      await opened(client, "sse");
      assert.deepEqual((await of(client, "transport")).map((event) => event.transport), ["sse"]);
      await exact(client, stop);
    });
  }

  test("behind a buffering proxy, long polling takes over", async (t) => {
    const { client, stop } = await setUp(t, agent, { upgrade: "refuse", buffering: true });
    await opened(client, "long-polling");
    await exact(client, stop);
  });

  test("where no request may wait, short polling takes over", async (t) => {
    const { client, stop } = await setUp(t, agent, { upgrade: "refuse", buffering: true, hold: 200 });
    await stop();  // else no poll would be held
    await opened(client, "short-polling");
    await exact(client, stop);
  });

  test("a server that answers 503 for a while is met again over the transport that worked", async (t) => {
    const { client, stop, proxy } = await setUp(t, agent);
    await opened(client, "websocket");
    proxy.status = 503;
    proxy.cut();
    await until(client, async () => (await of(client, "error")).length >= 3);
    assert.equal(await client.get("readyState"), Downlink.CONNECTING);
    proxy.status = 0;
    await opened(client, "websocket");
    assert.equal((await of(client, "transport")).length, 1);
    await exact(client, stop);
  });

  test("a stream that falls silent is found out, and the next transport goes on", async (t) => {
    t.options = { timeout: 2500, patience: 3000, wait: 1 };
    const { client, stop, proxy } = await setUp(t, agent);
    await opened(client, "websocket");
    proxy.stall();
    await opened(client, "sse");
    proxy.stall();
    await opened(client, "long-polling");
    assert.deepEqual((await of(client, "error")).map(({ wait }) => wait), [0, 0]);
    await exact(client, stop);
  });

  test("a transport that ends again and again soon after opening gives way", async (t) => {
    t.options = { patience: 60_000 };
    const { client, stop, proxy } = await setUp(t, agent);
    for (let times = 1; times <= 2; times += 1) {
      await until(client, async () => (await of(client, "open")).length === times);
      proxy.cut();
    }
    await opened(client, "sse");
    await exact(client, stop);
  });

  test("what is better comes back once it gets through", async (t) => {
    t.options = { upgradeAfter: 100 };
    const { client, stop, proxy } = await setUp(t, agent, { upgrade: "refuse", buffering: true });
    await opened(client, "long-polling");
    proxy.buffering = false;
    await opened(client, "sse");
    proxy.upgrade = "pass";
    await opened(client, "websocket");
    assert.deepEqual((await of(client, "transport")).map((event) => event.transport), ["long-polling", "sse", "websocket"]);
    assert.deepEqual(await of(client, "error").then((errors) => errors.filter(({ wait }) => wait > 0)), []);
    await exact(client, stop);
  });

  test("a server that is killed and starts anew is met again, and what it forgot is told as a gap", async (t) => {
    let mine = await startHub(...hubOptions);
    t.after(() => mine.stop());
    const { client, proxy } = await setUp(t, agent);
    proxy.hub = { host: "127.0.0.1", port: mine.port };
    await client.call("close");
    await client.call("reconnect");
    await opened(client, "websocket");
    const channel = (await client.get("url")).split("/").at(-1);
    await mine.publish(channel, "before");
    await until(client, async () => (await messagesOf(client)).some(({ data }) => data === "before"));
    const gaps = (await of(client, "gap")).length;
    const { port } = mine;
    await mine.stop("SIGKILL");
    await until(client, async () => await client.get("readyState") === Downlink.CONNECTING);
    mine = await startHub(...hubOptions, "--port", port);
    await mine.publish(channel, "after");
    await opened(client, "websocket");
    await until(client, async () => (await messagesOf(client)).at(-1)?.data === "after");
    assert.equal((await of(client, "gap")).length, gaps + 1);
  });

  for (const [offered, expected, upgrade] of [["websocket", "websocket"], ["sse", "sse"], ["long", "long-polling"],
    ["websocket,long", "long-polling", "refuse"]]) {
    test(`of a server that offers ${offered}, ${expected} is found without a wait, and losses are made good`, async (t) => {
      const lesser = await startHub(...hubOptions, "--transports", offered);
      t.after(() => lesser.stop());
      const { open } = await setUp(t, agent);
      const proxy = await new FaultyProxy({ host: "127.0.0.1", port: lesser.port }).start(t);
      if (upgrade) proxy.upgrade = upgrade;
      const channel = `less${number}`;
      const stop = count(lesser, channel);
      t.after(stop);
      const client = await open(`${proxy.address}/channels/${channel}`, { ...quick, wait: 5 });
      await opened(client, expected);
      for (let times = 1; times <= 4; times += 1) {
        const happened = async (type) => (await of(client, type)).length;
        const [opens, errors] = [await happened("open"), await happened("error")];
        proxy.status = 503;
        proxy.cut();
        await until(client, async () => await happened("error") > errors);
        proxy.status = 0;
        await until(client, async () => await happened("open") > opens);
      }
      for (const { error } of await of(client, "error")) assert.doesNotMatch(error.message ?? error, /silent/);
      await exact(client, stop);
      await client.call("close");
    });
  }

  test("a token is shown over each transport, and a wrong one ends it", async (t) => {
    const guarded = await startHub("--token", "s3cret&more", "--telemetry", "off");
    t.after(() => guarded.stop());
    const { open } = await setUp(t, agent);
    const url = `${guarded.address}/channels/guarded`;
    for (const transport of transports) {
      const client = await open(url, { transport, token: "s3cret&more", pollInterval: 20, cursor: "earliest" });
      await opened(client, transport);
      await client.call("send", transport);
      await until(client, async () => (await messagesOf(client)).at(-1)?.data === transport);
      await client.call("close");
      if (transport === "websocket") continue;
      const byHeader = await open(url, { transport, token: "s3cret&more", tokenBy: "header" });
      await opened(byHeader, transport);
      await byHeader.call("close");
    }
    const stranger = await open(url, { token: "guess" });
    await until(stranger, async () => await stranger.get("readyState") === Downlink.CLOSED);
    assert.equal((await of(stranger, "close")).length, 1);
  });
});
