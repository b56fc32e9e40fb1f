// How the browser client chooses among transports, over a network that says exactly what a test wants said.
// node --test ladder_test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventStream, follow, soon } from "./support.mjs";

/** A server that refuses streams and answers polls, unless `poll` throws, and how often either was asked for. */
function pollsAlone(poll = () => {}) {
  const asked = { streams: 0, polls: 0 };
  const fetch = async (_, { headers }) => {
    if (headers.Accept === "text/event-stream") {
      asked.streams += 1;
      return new Response("", { status: 406 });
    }
    asked.polls += 1;
    poll(asked.polls);
    return Response.json({ cursor: "e-1", messages: [] });
  };
  return { asked, fetch };
}

test("auto comes to polling where streams and upgrades are cut instead of refused", async (t) => {
  const asked = [];
  const fetch = async (_, { headers }) => {
    asked.push(headers.Accept);
    if (headers.Accept === "text/event-stream") throw new TypeError("connection reset");
    return Response.json({ cursor: "e-1", messages: [] });
  };
  const { client, opened } = follow(t, "http://test/", { WebSocket: undefined, fetch, ...soon });
  await opened();
  assert.equal(client.transport, "long-polling");
  assert.ok(asked.filter((type) => type === "text/event-stream").length >= 3, "one failure alone may be the network's");
});

test("a final answer stays final after failures, and a stream of nothing but retry: keeps its transport", async (t) => {
  let asked = 0;
  const gone = async () => {
    asked += 1;
    if (asked <= 2) throw new TypeError("connection reset");
    return new Response(null, { status: 204 });
  };
  const { closed } = follow(t, "http://test/", { WebSocket: undefined, fetch: gone, ...soon });
  await closed();
  assert.equal(asked, 3);

  const types = [];
  const crowded = async (_, { headers }) => {
    types.push(headers.Accept);
    return new Response("retry: 1\n\n", { headers: eventStream });
  };
  const { until } = follow(t, "http://test/", { WebSocket: undefined, fetch: crowded, ...soon });
  await until(() => types.length >= 8);
  assert.deepEqual(new Set(types), new Set(["text/event-stream"]));
});

test("where the last transport is not offered, it begins again with the first", async (t) => {
  let streams = 0;
  const fetch = async (_, { headers }) => {
    if (headers.Accept !== "text/event-stream") return new Response("", { status: 406 });
    streams += 1;
    const opening = new TextEncoder().encode("id: e-1\nevent: downlink.open\ndata: \n\n");
    return new Response(new ReadableStream({
      start: (stream) => stream.enqueue(opening),
      pull: (stream) => streams <= 2 && stream.error(new TypeError("connection reset")),  // twice soon after it has opened
    }, { highWaterMark: 0 }), { headers: eventStream });
  };
  const { client, opened, of } = follow(t, "http://test/", { WebSocket: undefined, fetch, ...soon });
  await opened(3);
  assert.equal(client.transport, "sse");
  assert.ok(of("error").some(({ error }) => error.status === 406), "it never came to the last");

  globalThis.sessionStorage = { setItem() {}, getItem: () => "short-polling" };  // as another URL of the origin has it
  t.after(() => { delete globalThis.sessionStorage; });
  const other = follow(t, "http://test/other", { WebSocket: undefined, fetch, ...soon });
  await other.opened();
  assert.equal(other.client.transport, "sse");
});

test("better transports are tried again though what is used ends sooner than that", async (t) => {
  const { asked, fetch } = pollsAlone((polls) => {
    if (polls % 2 === 0) throw new TypeError("connection reset");
  });
  const { until } = follow(t, "http://test/", { transport: ["sse", "short-polling"], pollInterval: 20, patience: -1,
    upgradeAfter: 100, fetch, ...soon });
  await until(() => asked.streams >= 4);  // one at first
  assert.ok(asked.polls > 8, `${asked.polls} polls`);
});

test("after a change of network better transports are tried again as soon as at first", async (t) => {
  const network = new EventTarget();
  globalThis.addEventListener = (...listener) => network.addEventListener(...listener);
  t.after(() => { delete globalThis.addEventListener; });
  const { asked, fetch } = pollsAlone();
  const { opened, until } = follow(t, "http://test/", { transport: ["sse", "short-polling"], pollInterval: 20,
    upgradeAfter: 200, fetch, ...soon });
  await until(() => asked.streams >= 5);  // one at first; the next one is due sixteen times as late
  network.dispatchEvent(new Event("offline"));
  asked.streams = asked.polls = 0;
  network.dispatchEvent(new Event("online"));
  await opened(2);
  await until(() => asked.streams > 0);
  assert.ok(asked.polls < 40, `after ${asked.polls} polls, which are 80 in the longest time`);
});

test("through an outage the first transport is tried in every round, the next one in each third", async (t) => {
  const types = [];
  const fetch = async (_, { headers }) => {
    types.push(headers.Accept);
    throw new TypeError("no network");
  };
  const { until } = follow(t, "http://test/", { WebSocket: undefined, fetch, ...soon });
  await until(() => types.length >= 8);
  const [stream, poll] = ["text/event-stream", "application/json"];
  assert.deepEqual(types.slice(0, 8), [stream, stream, stream, poll, stream, stream, stream, poll]);
});

test("long polling is tried again only where an answer that was held has come through", async (t) => {
  const held = [];
  const fetch = async (url, { headers, signal }) => {
    if (headers.Accept === "text/event-stream") return new Response("", { status: 406 });
    if (new URL(url).searchParams.get("wait") === "0") return Response.json({ cursor: "e-1", messages: [] });
    return new Promise((resolve, reject) => {
      held.push(resolve);
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  };
  const { client, opened, of, until } = follow(t, "http://test/", { transport: ["long-polling", "short-polling"],
    pollInterval: 5, upgradeAfter: 20, fetch, ...soon });
  const refuse = () => held.shift()(new Response("", { status: 504 }));
  for (let times = 0; client.transport === "long-polling"; times += 1) {
    await until(() => held.length > 0 || client.transport === "short-polling");
    if (held.length > 0) refuse();
  }
  await opened();
  const transports = of("transport").length;
  await until(() => held.length > 0);
  refuse();  // that was a trial
  await until(() => held.length > 0);
  assert.equal(of("transport").length, transports);
  held.shift()(Response.json({ cursor: "e-1", messages: [] }));
  await until(() => client.transport === "long-polling");
});

test("what worked is remembered where there was a choice, and there alone", async (t) => {
  const kept = new Map();
  globalThis.sessionStorage = { setItem: (name, value) => kept.set(name, value), getItem: (name) => kept.get(name) };
  t.after(() => { delete globalThis.sessionStorage; });
  const fetch = async (_, { headers }) => (headers.Accept === "text/event-stream" ? new Response("", { status: 406 })
    : Response.json({ cursor: "e-1", messages: [] }));
  await follow(t, "http://test/", { transport: "short-polling", fetch }).opened();
  assert.equal(kept.size, 0);
  await follow(t, "http://test/", { transport: ["sse", "short-polling"], fetch }).opened();
  assert.deepEqual([...kept.values()], ["short-polling"]);
  assert.equal(follow(t, "http://test/", { transport: ["sse", "short-polling"], fetch }).client.transport, "short-polling");
});
