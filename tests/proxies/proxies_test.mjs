// All transports through real proxies, as they come and with the README's lines.
// DOWNLINK_HUB=path/to/hub DOWNLINK_ADDRESS=path/to/address CHROMIUM=path/to/chromium node --test proxies_test.mjs

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { inNode, inPage, messagesOf, of, opened, until } from "../browser/faults.mjs";
import { startBrowser, startHub, transports } from "../browser/support.mjs";
import { kinds, startProxy } from "./proxies.mjs";

const plainNginx = "nginx as it comes";
const passing = (kind) => transports.filter((transport) => kind !== plainNginx || transport !== "websocket");
const hubFor = async (t, kind, ...options) => {
  const announced = kind.endsWith("PROXY protocol") ? ["--trusted-proxy", "127.0.0.1", "--proxy-protocol"] : [];
  const hub = await startHub("--telemetry", "off", "--drain-timeout", "0", ...announced, ...options);
  t.after(() => hub.stop());
  return hub;
};

let browser;
before(async () => { browser = await startBrowser(); });
after(() => browser?.close());

/** Publishes through the proxy: a hub that expects the PROXY protocol takes nothing else from this machine. */
async function publish(proxy, channel, body) {
  const answer = await fetch(`${proxy}/channels/${channel}`, { method: "POST", body });
  assert.equal(answer.status, 202);
}

for (const kind of Object.keys(kinds)) describe(kind, { concurrency: true }, () => {
  for (const transport of passing(kind)) {
    test(`${transport}: each message comes before there is another`, async (t) => {
      const hub = await hubFor(t, kind);
      const proxy = await startProxy(t, kind, new URL(hub.address).host);
      const client = await inNode(t)(`${proxy}/channels/news`, { transport, pollInterval: 50 });
      await opened(client, transport);
      for (let number = 1; number <= 5; number += 1) {
        await publish(proxy, "news", String(number));
        await until(client, async () => (await messagesOf(client)).length === number);
      }
      await client.call("send", "up");
      await until(client, async () => (await messagesOf(client)).at(-1)?.data === "up");
      assert.deepEqual(await of(client, "error"), []);
      await client.call("close");
    });
  }

  test("a page behind it publishes, over the best transport that it lets through", async (t) => {
    const hub = await hubFor(t, kind);
    const proxy = await startProxy(t, kind, new URL(hub.address).host);
    const page = await browser.newPage();
    t.after(() => page.close());
    const [best] = passing(kind);
    const client = await inPage(page)(`${proxy}/channels/news`, {});
    await opened(client, best);
    await client.call("send", "up");
    const status = await page.evaluate(async () => (await fetch("/channels/news", { method: "POST", body: "posted" })).status);
    assert.equal(status, 202);
    await until(client, async () => (await messagesOf(client)).length === 2);
    assert.deepEqual((await messagesOf(client)).map(({ data }) => data).sort(), ["posted", "up"]);
  });

  // nginx as it comes names nobody, and passes on what clients make up: it must not be trusted.
  if (kind !== plainNginx) test("the client's address is its own, whatever it makes up", async (t) => {
    const child = spawn(process.env.DOWNLINK_ADDRESS, [kind.endsWith("PROXY protocol") ? "2" : "1"],
      { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill());
    const [line] = await once(createInterface(child.stdout), "line");
    const proxy = await startProxy(t, kind, line.replace("listening on http://", ""));
    const request = http.request(`${proxy}/address`, { method: "POST", localAddress: "127.0.0.5", agent: false,
      headers: { "X-Forwarded-For": "6.6.6.6" } }).end("who am I?");
    const [answer] = await once(request, "response");
    let body = "";
    for await (const piece of answer) body += piece;
    assert.equal(body, "127.0.0.5");
  });
});

describe("heartbeats keep streams open past the proxy's time-outs, and held polls end before", { concurrency: true }, () => {
  for (const kind of Object.keys(kinds)) test(kind, async (t) => {
    const timeout = 4;
    const hub = await hubFor(t, kind, "--heartbeat", "1.5", "--max-wait", "2");
    const proxy = await startProxy(t, kind, new URL(hub.address).host, timeout);
    const clients = [];
    for (const transport of passing(kind)) {
      clients.push(await inNode(t)(`${proxy}/channels/news`, { transport, pollInterval: 200 }));
      await opened(clients.at(-1), transport);
    }
    await new Promise((resolve) => setTimeout(resolve, 2.5 * timeout * 1000));  // that nothing happens is the point
    await publish(proxy, "news", "still there");
    for (const client of clients) {
      await until(client, async () => (await messagesOf(client)).length === 1);
      assert.deepEqual(await of(client, "error"), []);
      await client.call("close");
    }
  });
});

// Else the test before would show nothing.
describe("without them the same time-outs end what is silent", { concurrency: true }, () => {
  for (const kind of Object.keys(kinds)) test(kind, async (t) => {
    const hub = await hubFor(t, kind, "--heartbeat", "3600");
    const proxy = await startProxy(t, kind, new URL(hub.address).host, 2);
    const clients = [];
    for (const transport of passing(kind).filter((name) => name !== "short-polling")) {
      clients.push(await inNode(t)(`${proxy}/channels/news`, { transport }));
      await opened(clients.at(-1), transport);
    }
    for (const client of clients) {
      await until(client, async () => (await of(client, "error")).length > 0);
      await client.call("close");
    }
  });
});
