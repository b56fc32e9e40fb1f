// The browser client on its own, against a server in this process that says exactly what a test wants said.
// node --test client_test.mjs

import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { Downlink, eventually, eventStream, follow, plain, soon } from "./support.mjs";

/** A server whose requests are answered by `answer(request, response, number)`, from 0; `requests` keeps their URLs. */
async function serve(t, answer) {
  const requests = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://test");
    requests.push({ url, method: request.method, headers: request.headers, query: Object.fromEntries(url.searchParams) });
    answer(request, response, requests.length - 1);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}/channels/news`, requests };
}

const opening = (id) => `retry: 0\n: hello\nid: ${id}\nevent: downlink.open\ndata: \n\n`;
const poll = (response, cursor, messages = [], more = {}) => {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ cursor, messages, ...more }));
};

test("an event stream cut at every byte gives the same events", async (t) => {
  const stream = "\ufeffretry: 70\r\n: comment\r\nid: e-1\revent: downlink.open\ndata: \n\n" +
    "id: e-2\ndata: one\ndata: two\r\ndata: \r\n\r\n" +
    "id: e-3\revent: price\rdata:no space\r\r" +
    "id: e-4\ndata: gr\u00fc\u00df \ud83d\ude80\n\n" +
    "id: e-5\ndata\n\n" +
    "event: unheard\nid: e-6\n\n" +
    "id: e-7\nevent: message;base64\ndata: AP+A\n\n" +
    "id: e-8\nevent: image;base64\ndata: \n\n" +
    "unknown: field\nevent: answer\ndata: without id\n\n" +
    "event: downlink.unknown\ndata: {}\n\n" +
    "id: e-9\ndata: never finished\n";
  const bytes = Buffer.from(stream);
  const { url } = await serve(t, (_, response) => {
    response.writeHead(200, eventStream);
    let at = 0;
    const step = () => {
      if (at < bytes.length) response.write(bytes.subarray(at, at += 1), () => setImmediate(step));
    };
    step();
  });
  const { client, got, messages } = follow(t, url, { transport: "sse" });
  await got(7);
  assert.deepEqual(messages().map(({ id, event, data }) => [id, event, plain(data)]), [
    ["e-2", "message", "one\ntwo\n"], ["e-3", "price", "no space"], ["e-4", "message", "gr\u00fc\u00df \ud83d\ude80"],
    ["e-5", "message", ""], ["e-7", "message", [0, 255, 128]], ["e-8", "image", []], ["", "answer", "without id"],
  ]);
  assert.ok(messages()[4].data instanceof ArrayBuffer);
  assert.equal(client.lastEventId, "e-8");
});

test("bytes are counted exactly", async (t) => {
  const stream = `${opening("e-1")}id: e-2\ndata: \u00e4\n\n`;
  const { url } = await serve(t, (_, response) => {
    response.writeHead(200, eventStream);
    response.write(stream);
  });
  const { client, got } = follow(t, url, { transport: "sse" });
  await got(1);
  assert.deepEqual(client.stats, { messages: 1, bytes: Buffer.byteLength(stream), requests: 1, gaps: 0, reconnects: 0 });
});

test("a stream that ends is taken up again after the last message", async (t) => {
  const { url, requests } = await serve(t, (_, response, number) => {
    response.writeHead(200, eventStream);
    response.write(`${opening(`e-${number * 2}`)}id: e-${number * 2 + 1}\ndata: a\n\nid: e-${number * 2 + 2}\ndata: b\n\n`);
    if (number < 2) response.end();
  });
  const { client, got, messages } = follow(t, url, { transport: "sse", token: "s3cret&", ...soon });
  await got(6);
  assert.deepEqual(messages().map(({ id }) => id), ["e-1", "e-2", "e-3", "e-4", "e-5", "e-6"]);
  assert.deepEqual(requests.map(({ query }) => query.cursor), [undefined, "e-2", "e-4"]);
  for (const { query, headers } of requests) {
    assert.deepEqual([query.access_token, headers.accept], ["s3cret&", "text/event-stream"]);
  }
  assert.equal(client.stats.reconnects, 2);
});

test("a stream lost before its first message resumes from its opening", async (t) => {
  const { url, requests } = await serve(t, (_, response, number) => {
    response.writeHead(200, eventStream);
    if (number === 0) response.end(opening("e-7"));
    else response.write(`${opening("e-7")}id: e-8\ndata: x\n\n`);
  });
  const { got } = follow(t, url, { transport: "sse", ...soon });
  await got(1);
  assert.equal(requests[1].query.cursor, "e-7");
});

test("a stream lost between an opening with a gap and its notice learns of the gap again", async (t) => {
  const gapped = "retry: 0\nevent: downlink.open\ndata: \n\n";
  const { url, requests } = await serve(t, (_, response, number) => {
    response.writeHead(200, eventStream);
    if (number === 0) return response.end(gapped);
    response.write(`${gapped}id: f-2\nevent: downlink.gap\ndata: {"requested":"e-9","earliest":"f-3"}\n\n`);
    response.write("id: f-3\ndata: x\n\n");
  });
  const { client, got, of } = follow(t, url, { transport: "sse", cursor: "e-9", ...soon });
  await got(1);
  assert.deepEqual(requests.map(({ query }) => query.cursor), ["e-9", "e-9"]);
  assert.deepEqual(of("gap"), [{ type: "gap", requested: "e-9", earliest: "f-3" }]);
  assert.equal(client.stats.gaps, 1);
});

test("a client that reconnects inside a listener hears nothing more of the old stream, and goes on by its cursor", async (t) => {
  const { url, requests } = await serve(t, (_, response, number) => {
    response.writeHead(200, eventStream);
    response.write(number === 0
      ? `${opening("e-0")}id: e-1\ndata: 1\n\nid: e-2\ndata: 2\n\n` : `${opening("e-1")}id: e-2\ndata: 2\n\n`);
  });
  const { client, got, messages, of } = follow(t, url, { transport: "sse" });
  client.addEventListener("message", () => client.reconnect(), { once: true });
  await got(2);
  assert.deepEqual(messages().map(({ id }) => id), ["e-1", "e-2"]);
  assert.equal(requests[1].query.cursor, "e-1");
  assert.deepEqual([of("open").length, of("error").length, of("close").length], [2, 0, 0]);
});

test("short polling asks again after its interval, at once where there is more, and resumes within an answer", async (t) => {
  const { url, requests } = await serve(t, (_, response, number) => {
    if (number === 0) poll(response, "e-5");
    else if (number === 1) {
      poll(response, "e-7", [{ id: "e-6", data: "x" }, { id: "e-7", event: "b", data: "AP8=", encoding: "base64" }],
        { more: true });
    } else if (number === 2) poll(response, "e-9", [{ id: "e-8", data: "cut here" }, { id: "e-9", data: "dropped" }]);
    else if (number === 3) poll(response, "e-9", [{ id: "e-9", data: "again" }]);
    else poll(response, "e-9");
  });
  const { client, got, messages } = follow(t, url, { transport: "short-polling", pollInterval: 10 });
  client.addEventListener("message", ({ lastEventId }) => {
    if (lastEventId === "e-8") client.reconnect();
  });
  await got(4);
  assert.deepEqual(messages().map(({ id, data }) => [id, plain(data)]),
    [["e-6", "x"], ["e-7", [0, 255]], ["e-8", "cut here"], ["e-9", "again"]]);
  assert.deepEqual(requests.slice(0, 4).map(({ query }) => query.cursor), [undefined, "e-5", "e-7", "e-8"]);
  assert.ok(requests.every(({ query }) => query.wait === "0"));
});

test("a connection that lasts collects nothing, however often it polls and tries better transports", async (t) => {
  let polls = 0;
  let listeners;
  const { client } = follow(t, "http://127.0.0.1/channels/news", {
    transport: ["sse", "short-polling"],
    pollInterval: 1,
    upgradeAfter: 1,
    fetch: async (_, { signal, headers }) => {
      if (headers.Accept === "text/event-stream") return new Response("", { status: 406 });
      polls += 1;
      listeners = getEventListeners(signal, "abort").length;
      return Response.json({ cursor: "e-1", messages: [] });
    },
  });
  await eventually(() => client.stats.requests > polls + 50 && polls > 100, "no polls and trials");
  assert.ok(listeners < 10, `${listeners} listeners wait for the end of the connection`);
});

test("a gap in a poll comes before its messages", async (t) => {
  const { url } = await serve(t, (_, response, number) => {
    if (number === 0) poll(response, "f-3", [{ id: "f-3", data: "x" }], { gap: true });
    else poll(response, "f-3");
  });
  const { got, heard } = follow(t, url, { transport: "short-polling", cursor: "e-1" });
  await got(1);
  assert.deepEqual(heard.filter((entry) => entry.type === "gap" || entry.id),
    [{ type: "gap", requested: "e-1", earliest: "f-3" }, { id: "f-3", event: "message", data: "x" }]);
});

test("a listener that reconnects at a gap goes on with what is retained, over polls too", async (t) => {
  const { url, requests } = await serve(t, (_, response, number) => {
    const stale = requests[number].query.cursor === "e-1";
    if (stale || requests[number].query.cursor === "earliest") {
      poll(response, "f-3", [{ id: "f-3", data: "x" }], stale ? { gap: true } : {});
    } else {
      poll(response, "f-3");
    }
  });
  const { client, got, of } = follow(t, url, { transport: "short-polling", cursor: "e-1" });
  client.addEventListener("gap", () => client.reconnect());
  await got(1);
  assert.deepEqual(of("gap"), [{ type: "gap", requested: "e-1", earliest: "f-3" }]);
  assert.equal(client.lastEventId, "f-3");
});

test("long polling opens with a request that is not held, then waits", async (t) => {
  const { url, requests } = await serve(t, (_, response, number) => {
    if (number === 0) poll(response, "e-1");
    else if (number === 1) poll(response, "e-2", [{ id: "e-2", data: "x" }]);
  });
  const { got, until } = follow(t, url, { transport: "long-polling" });
  await got(1);
  await until(() => requests.length >= 2);
  assert.deepEqual(requests.slice(0, 2).map(({ query }) => query), [{ wait: "0" }, { cursor: "e-1", wait: "25" }]);
});

test("a long poll is asked to be held for a second at least", async (t) => {
  const { url, requests } = await serve(t, (_, response, number) => number || poll(response, "e-1"));
  const { until } = follow(t, url, { transport: "long-polling", wait: 0 });
  await until(() => requests.length >= 2);
  assert.equal(requests[1].query.wait, "1");
});

test("a long poll that is not held is not repeated in a tight loop", async (t) => {
  const { url, requests } = await serve(t, (_, response) => poll(response, "e-1"));
  const { opened } = follow(t, url, { transport: "long-polling" });
  await opened();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(requests.length <= 2, `${requests.length} requests`);
});

test("another transport goes on from the cursor", async (t) => {
  const { url, requests } = await serve(t, (request, response) => {
    if (request.headers.accept === "text/event-stream") {
      response.writeHead(200, eventStream);
      response.write(`${opening("e-1")}id: e-2\ndata: x\n\n`);
    } else {
      poll(response, "e-3", [{ id: "e-3", data: "y" }]);
    }
  });
  const first = follow(t, url, { transport: "sse" });
  await first.got(1);
  first.client.close();
  const second = follow(t, url, { transport: "short-polling", cursor: first.client.lastEventId });
  await second.got(1);
  assert.equal(requests[1].query.cursor, "e-2");
});

test("a refusal is final, and names the server's words", async (t) => {
  const { url, requests } = await serve(t, (_, response) => {
    response.writeHead(403, { "Content-Type": "application/problem+json" });
    response.end('{"title":"Forbidden","status":403,"detail":"not this channel"}');
  });
  for (const transport of ["sse", "long-polling", "short-polling"]) {
    const { client, closed, heard, of } = follow(t, url, { transport });
    await closed();
    assert.equal(client.readyState, Downlink.CLOSED);
    assert.deepEqual(heard.map(({ type }) => type), ["error", "close"]);
    for (const { error } of of("error")) assert.match(error.message, /403, Forbidden, not this channel/);
    assert.equal(of("error")[0].error.status, 403);
  }
  assert.equal(requests.length, 3);
});

/** The first `count` waits before a retry, with `fetch` as the network and a clock on which they take no time. */
async function delays(count, options, fetch = () => Promise.reject(new TypeError("no network"))) {
  const asked = [];
  const { setTimeout: real } = globalThis;
  globalThis.setTimeout = (work, wait, ...more) => real(work, wait >= 1e8 ? 2 ** 30 : 0, ...more);
  try {
    const client = new Downlink("http://test/", { transport: "sse", timeout: 1e9, patience: -1, fetch, ...options });
    await new Promise((resolve) => client.addEventListener("error", ({ wait }) => {
      if (asked.push(wait) === count) resolve();
    }));
    client.close();
  } finally {
    globalThis.setTimeout = real;
  }
  return asked;
}

test("the backoff's ceiling doubles from 1 s to 30 s", async () => {
  const asked = await delays(8, { random: () => 1 });
  assert.deepEqual(asked, [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
});

test("the backoff is jittered over its whole range", async () => {
  assert.deepEqual(await delays(4, { random: () => 0 }), [0, 0, 0, 0]);
  const asked = await delays(40, {});
  asked.forEach((wait, index) => assert.ok(wait >= 0 && wait < Math.min(30000, 1000 * 2 ** index)));
  assert.ok(new Set(asked).size > 30);
});

test("success resets the backoff, and retry: is the least wait", async () => {
  let number = 0;
  const asked = await delays(5, { random: () => 0.5 }, async () => {
    number += 1;
    if (number !== 3) throw new TypeError("no network");
    return new Response(`retry: 250\nid: e-1\nevent: downlink.open\ndata: \n\n`, { headers: eventStream });
  });
  assert.deepEqual(asked, [500, 1000, 750, 1250, 2250]);
});

test("a stream of nothing but retry: is no success", async () => {
  const asked = await delays(3, { random: () => 0.5 }, async () => new Response("retry: 100\n\n", { headers: eventStream }));
  assert.deepEqual(asked, [600, 1100, 2100]);
});

test("Retry-After is the least wait", async () => {
  const asked = await delays(2, { random: () => 0.5 },
    async () => new Response("{}", { status: 503, headers: { "Retry-After": "7" } }));
  assert.deepEqual(asked, [7500, 8000]);
});

test("a silent server counts as lost", async (t) => {
  const { url, requests } = await serve(t, (_, response, number) => {
    response.writeHead(200, eventStream);
    response.write(`${opening(`e-${number}`)}`);
  });
  const { until } = follow(t, url, { transport: "sse", timeout: 60, ...soon });
  await until(() => requests.length >= 2);
  assert.equal(requests[1].query.cursor, "e-0");
});

test("send posts text and binary, and gives the answer's body", async (t) => {
  const { url, requests } = await serve(t, (request, response) => {
    if (request.method === "GET") return poll(response, "e-1");
    response.statusCode = 202;
    request.pipe(response);
  });
  const { client } = follow(t, url, { transport: "short-polling", token: "s3cret" });
  assert.equal(await client.send("gr\u00fc\u00df"), "gr\u00fc\u00df");
  assert.equal(await client.send(new TextEncoder().encode("bytes")), "bytes");
  const posts = requests.filter(({ method }) => method === "POST");
  assert.deepEqual(posts.map(({ headers }) => headers["content-type"]),
    ["text/plain;charset=UTF-8", "application/octet-stream"]);
  assert.equal(posts[0].query.access_token, "s3cret");
});

test("reconnect wakes a client that waits or was closed", async (t) => {
  const { url, requests } = await serve(t, (_, response, number) => {
    if (number === 1) response.writeHead(503).end();
    else poll(response, "e-1");
  });
  const { client, opened, closed, of } = follow(t, url, { transport: "short-polling", pollInterval: 1e6, random: () => 1e6 });
  await opened();
  client.reconnect();
  await eventually(() => of("error").length === 1);
  client.reconnect();
  await opened(2);
  client.close();
  await closed();
  assert.equal(client.readyState, Downlink.CLOSED);
  client.reconnect();
  await opened(3);
  assert.equal(requests.length, 4);
});

test("a token stands where it is told to, and headers of the application's go along", async (t) => {
  const { url, requests } = await serve(t, (_, response) => poll(response, "e-1"));
  const options = { transport: "short-polling", token: "s3cret", headers: { "X-Tenant": "a" } };
  await follow(t, url, options).opened();
  await follow(t, url, { ...options, tokenBy: "header" }).opened();
  const seen = requests.map(({ query, headers }) => [query.access_token, headers.authorization, headers["x-tenant"]]);
  assert.deepEqual(seen, [["s3cret", undefined, "a"], [undefined, "Bearer s3cret", "a"]]);
});

test("held polls that something on the way ends twice in a row are asked to be held for half as long", async (t) => {
  const { url, requests } = await serve(t, (_, response, number) => {
    if (number % 2 === 0 || number === 3) poll(response, "e-1");
    else response.writeHead(504).end();
  });
  const { until } = follow(t, url, { transport: "long-polling", patience: -1, ...soon });
  await until(() => requests.length >= 13);
  // The fourth was held well, so that the next failure was the first again.
  assert.deepEqual(requests.slice(0, 13).map(({ query }) => query.wait),
    ["0", "25", "0", "25", "25", "25", "0", "25", "0", "13", "0", "13", "0"]);
});

test("a client that ends its own held polls asks for no shorter ones", async (t) => {
  const { url, requests } = await serve(t, (_, response, number) => {
    if (number % 2 === 0) poll(response, "e-1");
  });
  const { client, until } = follow(t, url, { transport: "long-polling" });
  for (let held = 1; held < 5; held += 1) {
    await until(() => requests.length === 2 * held);
    assert.equal(requests.at(-1).query.wait, "25");
    client.reconnect();
  }
});

test("a client that closes in a listener leaves no timer behind", async (t) => {
  const { url } = await serve(t, (_, response) => poll(response, "e-2", [{ id: "e-2", data: "x" }]));
  const before = process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const { client, closed } = follow(t, url, { transport: "short-polling", pollInterval: 1e9 });
  client.addEventListener("message", () => client.close());
  await closed();
  await eventually(() => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length <= before + 1);
});

test("waits longer than timers can count are long, not none", async (t) => {
  let requests = 0;
  const refuse = async () => {
    requests += 1;
    return new Response("{}", { status: 503, headers: { "Retry-After": String(30 * 86400) } });
  };
  const waiting = follow(t, "http://test/", { transport: "sse", fetch: refuse, ...soon });
  await waiting.until(() => waiting.of("error").length > 0);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(requests, 1);

  let trials = 0;
  const fetch = async (_, { headers }) => {
    if (headers.Accept !== "text/event-stream") return Response.json({ cursor: "e-1", messages: [] });
    trials += 1;
    return new Response("", { status: 406 });
  };
  const never = follow(t, "http://test/", { transport: ["sse", "short-polling"], upgradeAfter: Infinity, fetch, ...soon });
  await never.opened();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(trials, 1);
});

test("an option that is undefined has its default", async (t) => {
  let requests = 0;
  const fetch = async () => {
    requests += 1;
    return Response.json({ cursor: "e-1", messages: [] });
  };
  const { opened } = follow(t, "http://test/", { transport: "short-polling", pollInterval: undefined, timeout: undefined,
    patience: undefined, random: undefined, fetch });
  await opened();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(requests, 1);

  const { url } = await serve(t, (_, response) => poll(response, "e-1"));
  await follow(t, url, { transport: "short-polling", fetch: undefined }).opened();
});

test("a listener that closes hears of no opening, and one that reconnects of no end", async (t) => {
  const { url } = await serve(t, (_, response, number) => {
    if (number === 1) response.writeHead(403).end();
    else poll(response, "e-1");
  });
  const first = follow(t, url, { transport: "short-polling" });
  first.client.addEventListener("transport", () => first.client.close());
  await first.closed();
  assert.deepEqual(first.heard.map(({ type }) => type), ["transport", "close"]);

  const second = follow(t, url, { transport: "short-polling" });
  second.client.addEventListener("error", () => second.client.reconnect());
  await second.opened();
  assert.deepEqual(second.heard.map(({ type }) => type), ["error", "transport", "open"]);

  const refusing = await serve(t, (_, response) => response.writeHead(403).end());
  const third = follow(t, refusing.url, { transport: "short-polling" });
  third.client.addEventListener("error", () => {
    third.client.reconnect();
    third.client.close();
  });
  await third.closed();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(third.heard.map(({ type }) => type), ["error", "close"]);
});

test("times may be infinite", async (t) => {
  const { url } = await serve(t, (request, response) => {
    if (request.method === "GET") return poll(response, "e-1");
    response.end("taken");
  });
  const { client, opened } = follow(t, url, { transport: "short-polling", timeout: Infinity, patience: Infinity,
    pollInterval: Infinity, upgradeAfter: Infinity });
  await opened();
  assert.equal(await client.send("up"), "taken");
});

test("a server that does not answer what is sent fails it after the timeout", async (t) => {
  const { url } = await serve(t, (request, response) => {
    if (request.method === "GET") poll(response, "e-1");
  });
  const { client, opened } = follow(t, url, { transport: "short-polling", timeout: 100 });
  await opened();
  await assert.rejects(client.send("up"), { name: "TimeoutError" });
});

test("a token that can't be had, and a refusal without words, are errors like others", async (t) => {
  const tokenless = follow(t, "http://test/", { transport: "sse", token: () => Promise.reject() });
  await tokenless.until(() => tokenless.of("error").length > 0);
  const fetch = async () => new Response("null", { status: 404 });
  const { closed, of } = follow(t, "http://test/", { transport: "sse", fetch });
  await closed();
  assert.equal(of("error")[0].error.status, 404);
});

test("handlers may be properties, as EventSource has them", async (t) => {
  const { url } = await serve(t, (_, response) => {
    response.writeHead(200, eventStream);
    response.write(`${opening("e-1")}id: e-2\ndata: x\n\n`);
  });
  const { client } = follow(t, url, { transport: "sse" });
  const calls = [];
  client.onopen = () => calls.push("open");
  client.ontransport = ({ transport, previous }) => calls.push(transport, previous);
  client.onmessage = ({ data, lastEventId, origin }) => calls.push(data, lastEventId, origin);
  await eventually(() => calls.length === 6);
  assert.deepEqual(calls, ["sse", undefined, "open", "x", "e-2", new URL(url).origin]);
});
