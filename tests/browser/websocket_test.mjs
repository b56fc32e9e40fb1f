// The browser client over a WebSocket that says exactly what a test wants said.
// node --test websocket_test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { Downlink, eventually, follow, plain, soon } from "./support.mjs";

/** As much of a WebSocket as the client uses. */
class FakeSocket extends EventTarget {
  static all = [];
  readyState = 0;
  sent = [];

  constructor(url, protocols) {
    super();
    Object.assign(this, { url: new URL(url), protocols });
    FakeSocket.all.push(this);
  }

  open() {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }

  deliver(data) {
    this.dispatchEvent(Object.assign(new Event("message"), { data }));
  }

  end(code) {
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason: "" }));
  }

  send(data) { this.sent.push(data); }
  close() { this.readyState = 2; }
}

/** The sockets that one test's client makes, awaited by number. */
function sockets() {
  const from = FakeSocket.all.length;
  return (number) => eventually(() => FakeSocket.all[from + number]);
}

test("WebSocket reads the frames of downlink.v1, and resumes after them", async (t) => {
  const socket = sockets();
  const { client, got, messages, opened, closed, of } = follow(t, "https://test/channels/news?history=3",
    { transport: "websocket", WebSocket: FakeSocket, token: "s3cret", ...soon });
  const first = await socket(0);
  assert.equal(first.url.href, "wss://test/channels/news?history=3&access_token=s3cret");
  assert.deepEqual(first.protocols, ["downlink.v1"]);
  assert.equal(first.binaryType, "arraybuffer");
  first.open();
  first.deliver("id: e-1\nevent: downlink.open\n\n");
  await opened();
  first.deliver("id: e-2\n\nfirst\n\nsecond");
  first.deliver("id: e-3\nevent: price: high\nnew: header\n\n");
  first.deliver(new TextEncoder().encode("id: e-4\nevent: image\n\n\0\n\n\u0001").buffer);
  first.deliver("\nreply");
  first.deliver("event: answer\n\nreply");
  first.deliver("id: e-6\nevent: downlink.gap\n\n{\"requested\":\"e-4\",\"earliest\":\"e-7\"}");
  assert.deepEqual(messages().map(({ id, event, data }) => [id, event, plain(data)]), [
    ["e-2", "message", "first\n\nsecond"], ["e-3", "price: high", ""], ["e-4", "image", [0, 10, 10, 1]],
    ["", "message", "reply"], ["", "answer", "reply"],
  ]);
  assert.deepEqual(of("gap"), [{ type: "gap", requested: "e-4", earliest: "e-7" }]);
  await client.send("up");
  assert.deepEqual(first.sent, ["up"]);
  first.end(1001);
  const second = await socket(1);
  assert.equal(second.url.searchParams.get("cursor"), "e-6");
  second.open();
  second.deliver("id: e-6\nevent: downlink.open\n\n");
  first.deliver("id: e-1\n\nfrom an old connection");
  second.deliver("id: e-7\n\nx");
  await got(6);
  assert.equal(messages().at(-1).id, "e-7");
  second.end(4002);
  await closed();
  assert.equal(of("error").at(-1).error.code, 4002);
  assert.equal(of("error").at(-1).wait, undefined);
});

test("a WebSocket given up while it connects is closed once it has opened", async (t) => {
  const socket = sockets();
  const { client, opened } = follow(t, "http://test/", { transport: "websocket", WebSocket: FakeSocket });
  const first = await socket(0);
  client.reconnect();
  assert.equal(first.readyState, 0);
  first.open();
  assert.equal(first.readyState, 2);
  (await socket(1)).deliver("id: e-1\nevent: downlink.open\n\n");
  await opened();
});

test("a WebSocket given up while it connects, and that never opens, is closed all the same", async (t) => {
  const socket = sockets();
  const { client } = follow(t, "http://test/", { transport: "websocket", WebSocket: FakeSocket, patience: 50 });
  const first = await socket(0);
  client.close();
  assert.equal(first.readyState, 0);
  await eventually(() => first.readyState === 2);
});

test("a WebSocket that the page may not make gives way to the next transport", async (t) => {
  const fetch = async () => Response.json({ cursor: "e-1", messages: [] });
  class Forbidden {
    constructor() { throw new DOMException("not by this page", "SecurityError"); }
  }
  const { client, opened, of } = follow(t, "http://test/",
    { transport: ["websocket", "short-polling"], WebSocket: Forbidden, fetch, ...soon });
  await opened();
  assert.equal(client.transport, "short-polling");
  assert.match(of("error")[0].error.message, /not by this page/);
});

test("a client whose message was refused follows on", async (t) => {
  const socket = sockets();
  const { opened } = follow(t, "http://test/", { transport: "websocket", WebSocket: FakeSocket, ...soon });
  (await socket(0)).open();
  (await socket(0)).deliver("id: e-1\nevent: downlink.open\n\n");
  (await socket(0)).end(1008);
  (await socket(1)).open();
  (await socket(1)).deliver("id: e-1\nevent: downlink.open\n\n");
  await opened(2);
});

test("a silent WebSocket beside which no poll is taken is made anew, and keeps its transport", async (t) => {
  const socket = sockets();
  const fetch = async () => new Response("{}", { status: 426 });
  const { client, opened, of } = follow(t, "http://test/", { WebSocket: FakeSocket, fetch, timeout: 40, ...soon });
  for (let number = 0; number < 2; number += 1) {
    (await socket(number)).open();
    (await socket(number)).deliver("id: e-1\nevent: downlink.open\n\n");
  }
  await opened(2);
  assert.match(of("error")[0].error.message, /silent/);
  assert.equal(client.transport, "websocket");
});

test("a silent WebSocket lives as long as a poll finds nothing that it has missed", async (t) => {
  const socket = sockets();
  const answers = [];
  const fetch = async (url) => {
    assert.equal(new URL(url).search, "?cursor=e-1&wait=0");
    return answers.shift() ?? new Promise(() => {});
  };
  const { of, until } = follow(t, "http://test/",
    { transport: "websocket", WebSocket: FakeSocket, fetch, timeout: 40, ...soon });
  answers.push(new Response('{"cursor":"e-1","messages":[]}'), new Response('{"cursor":"e-1","messages":[]}'),
    new Response('{"cursor":"e-2","messages":[{"id":"e-2","data":"x"}]}'));
  const first = await socket(0);
  first.open();
  first.deliver("id: e-1\nevent: downlink.open\n\n");
  await until(() => of("error").length === 1);
  assert.equal(answers.length, 0);
  assert.match(of("error")[0].error.message, /silent/);
  assert.equal((await socket(1)).url.searchParams.get("cursor"), "e-1");
});

test("a silent WebSocket lives where the server has no room for a poll", async (t) => {
  const socket = sockets();
  let asked = 0;
  const fetch = async () => {
    asked += 1;
    return new Response("{}", { status: asked % 2 ? 503 : 429, headers: { "Retry-After": "1" } });
  };
  const { of } = follow(t, "http://test/", { transport: "websocket", WebSocket: FakeSocket, fetch, timeout: 40, ...soon });
  (await socket(0)).open();
  (await socket(0)).deliver("id: e-1\nevent: downlink.open\n\n");
  await eventually(() => asked >= 4);
  assert.equal(of("error").length, 0);
});

test("a message while a WebSocket's silence is looked into shows that it lives", async (t) => {
  const socket = sockets();
  let asked;
  const fetch = () => new Promise((resolve) => { asked = resolve; });
  const { of, got } = follow(t, "http://test/", { transport: "websocket", WebSocket: FakeSocket, fetch, timeout: 40 });
  const first = await socket(0);
  first.open();
  first.deliver("id: e-1\nevent: downlink.open\n\n");
  await eventually(() => asked);
  first.deliver("id: e-2\n\nx");
  const before = asked;
  before(new Response('{"cursor":"e-2","messages":[{"id":"e-2","data":"x"}]}'));
  await eventually(() => asked !== before);
  await got(1);
  assert.equal(of("error").length, 0);
});

test("a transport that worked, and failed just before the server was back, is soon tried again", async (t) => {
  const socket = sockets();
  const fetch = async () => new Response(new ReadableStream({
    start: (stream) => stream.enqueue(new TextEncoder().encode("id: e-1\nevent: downlink.open\ndata: \n\n")),
  }), { headers: { "Content-Type": "text/event-stream" } });
  const { of, until, messages, got } = follow(t, "http://test/",
    { WebSocket: FakeSocket, fetch, upgradeAfter: 1e8, patience: 60_000, ...soon });
  const open = async (number) => {
    (await socket(number)).open();
    (await socket(number)).deliver("id: e-1\nevent: downlink.open\n\n");
  };
  await open(0);
  (await socket(0)).end(1006);  // the server has gone,
  (await socket(1)).end(1006);  // is still away,
  await until(() => of("transport").at(-1)?.transport === "sse");  // and is back
  await open(2);
  assert.equal((await socket(2)).readyState, 2);  // that one only tried
  await open(3);
  (await socket(3)).deliver("id: e-2\n\nx");
  await got(1);
  assert.deepEqual(of("transport").map(({ transport }) => transport), ["websocket", "sse", "websocket"]);
  assert.deepEqual(messages().map(({ id }) => id), ["e-2"]);
});

test("a token may be a function, and one that has expired is made anew", async (t) => {
  const socket = sockets();
  let number = 0;
  const { opened } = follow(t, "http://test/",
    { transport: "websocket", WebSocket: FakeSocket, token: async () => `t${number += 1}`, ...soon });
  const first = await socket(0);
  assert.equal(first.url.searchParams.get("access_token"), "t1");
  first.open();
  first.deliver("id: e-1\nevent: downlink.open\n\n");
  first.end(4002);
  const second = await socket(1);
  assert.equal(second.url.searchParams.get("access_token"), "t2");
  second.open();
  second.deliver("id: e-1\nevent: downlink.open\n\n");
  await opened(2);
});

test("transports that cannot be used are refused, and auto leaves them out", (t) => {
  assert.throws(() => new Downlink("http://test/", { transport: "carrier-pigeon" }), /carrier-pigeon/);
  assert.throws(() => new Downlink("http://test/", { transport: "websocket", WebSocket: undefined }), /websocket/);
  assert.throws(() => new Downlink("http://test/", { transport: "websocket", WebSocket: FakeSocket, tokenBy: "header" }),
    /websocket/);
  const fetch = () => new Promise(() => {});
  for (const options of [{ WebSocket: undefined }, { WebSocket: FakeSocket, tokenBy: "header" }]) {
    const { client } = follow(t, "http://test/", { fetch, ...options });
    assert.equal(client.transport, "sse");
  }
  assert.equal(follow(t, "http://test/", { fetch, WebSocket: FakeSocket }).client.transport, "websocket");
});
