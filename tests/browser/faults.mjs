// A proxy between clients and a hub that can be told to misbehave, as real ones do, and clients in Node and in Chromium
// behind it that are driven alike.

import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { WebSocket } from "ws";
import { Downlink, eventually, follow, plain } from "./support.mjs";

/** Forwards to `hub`; what it does wrong is in its properties, which may change at any time. */
export class FaultyProxy {
  /** `pass`, `refuse` with 400, `hang` without an answer, or `strip` the upgrade from the request. */
  upgrade = "pass";
  /** Keeps the body of each answer back until it is whole, as buffering proxies do. */
  buffering = false;
  /** Answers everything with this status. */
  status = 0;
  /** Milliseconds after which a held poll gets 504. */
  hold = 0;
  /** Open connections pass nothing on, and stay open; later ones do. */
  #stalled = 0;
  #sockets = new Set();
  #server = http.createServer((request, response) => this.#forward(request, response));

  constructor(hub) { this.hub = hub; }

  async start(t) {
    this.#server.on("upgrade", (request, socket, head) => this.#tunnel(request, socket, head));
    this.#server.on("connection", (socket) => this.#keep(socket));
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    t.after(() => {
      this.cut();
      this.#server.close();
    });
    this.address = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  /** Resets every connection. */
  cut() {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** From now on nothing comes over the connections that are open. */
  stall() { this.#stalled += 1; }

  #keep(socket) {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket)).on("error", () => {});
  }

  #flowing() {
    const age = this.#stalled;
    return () => age === this.#stalled;
  }

  #forward(request, response) {
    const flows = this.#flowing();
    if (this.status) return response.writeHead(this.status, { "Retry-After": "0" }).end();
    const { host, port } = this.hub;
    const upstream = http.request({ host, port, path: request.url, method: request.method, headers: request.headers, agent: false });
    const late = this.hold && /[?&]wait=[1-9]/.test(request.url) && setTimeout(() => {
      upstream.destroy();
      if (!response.headersSent) response.writeHead(504).end();
    }, this.hold);
    upstream.on("response", (answer) => {
      clearTimeout(late);
      const { buffering } = this;
      if (!buffering) response.writeHead(answer.statusCode, answer.headers).flushHeaders();
      const kept = [];
      answer.on("data", (piece) => {
        if (buffering) kept.push(piece);
        else if (flows()) response.write(piece);
      }).on("error", () => response.destroy()).on("end", () => {
        if (buffering) response.writeHead(answer.statusCode, answer.headers);
        if (flows()) response.end(Buffer.concat(kept));
      });
    }).on("error", () => {
      clearTimeout(late);
      if (!response.headersSent) response.writeHead(502).end();
      else response.destroy();
    });
    response.on("close", () => upstream.destroy());
    request.on("error", () => {}).pipe(upstream);
  }

  #tunnel(request, socket, head) {
    const flows = this.#flowing();
    if (this.status) return socket.end(`HTTP/1.1 ${this.status} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    if (this.upgrade === "refuse") return socket.end("HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    if (this.upgrade === "hang") return;
    const upstream = net.connect(this.hub.port, this.hub.host);
    this.#keep(upstream);
    const lines = [`${request.method} ${request.url} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      const [name, value] = request.rawHeaders.slice(i, i + 2);
      if (this.upgrade !== "strip" || !/^(upgrade|connection|sec-websocket-.*)$/i.test(name)) lines.push(`${name}: ${value}`);
    }
    upstream.write(`${lines.join("\r\n")}\r\n\r\n`);
    upstream.write(head);
    upstream.on("data", (piece) => flows() && socket.write(piece)).on("close", () => flows() && socket.destroy());
    socket.on("data", (piece) => flows() && upstream.write(piece)).on("close", () => upstream.destroy());
  }
}

/** Publishes 1, 2, 3, … to a channel of the hub until it is stopped, which gives the last one. */
export function count(hub, channel, from = 1) {
  let going = true;
  const counting = (async () => {
    let number = from;
    for (; going; number += 1) {
      await hub.publish(channel, String(number));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return number - 1;
  })();
  return () => {
    going = false;
    return counting;
  };
}

/** A client in this process. */
export const inNode = (t) => async (url, options) => {
  const { client, heard } = follow(t, url, { WebSocket, ...options });
  return {
    heard: async () => heard.map((entry) => "data" in entry ? { ...entry, data: plain(entry.data) } : entry),
    get: async (name) => client[name],
    state: async () => [client.readyState, client.transport],
    call: async (name, ...given) => client[name](...given),
    sendBytes: (bytes) => client.send(Uint8Array.from(bytes)),
  };
};

/** A client in a page of the same origin. */
export const inPage = (page) => async (url, options) => {
  if (!page.url().startsWith(new URL(url).origin)) await page.goto(new URL("/healthz", url).href);
  const handle = await page.evaluateHandle(async ([source, target, given]) => {
    const { Downlink } = await import(source);
    const client = new Downlink(target, given);
    const heard = [];
    client.dispatchEvent = (event) => {
      const { type, data, lastEventId, error, wait, requested, earliest, transport, previous } = event;
      heard.push(event instanceof MessageEvent
        ? { id: lastEventId, event: type, data: typeof data === "string" ? data : [...new Uint8Array(data)] }
        : JSON.parse(JSON.stringify({ type, error: error?.message, wait: error && wait, requested, earliest, transport, previous })));
      return EventTarget.prototype.dispatchEvent.call(client, event);
    };
    return { client, heard };
  }, ["/downlink.js", url, options]);
  return {
    heard: () => handle.evaluate(({ heard }) => heard),
    state: () => handle.evaluate(({ client }) => [client.readyState, client.transport]),
    get: (name) => handle.evaluate(({ client }, wanted) => client[wanted], name),
    call: (name, ...given) => handle.evaluate(({ client }, [called, values]) => client[called](...values), [name, given]),
    sendBytes: (bytes) => handle.evaluate(({ client }, values) => client.send(Uint8Array.from(values)), bytes),
  };
};

/** What both kinds of client are asked for. */
export const messagesOf = async (client) => (await client.heard()).filter((entry) => "data" in entry);
export const of = async (client, type) => (await client.heard()).filter((entry) => entry.type === type);
const told = async (client) => JSON.stringify((await client.heard()).slice(-12));
export const until = async (client, holds) => {
  let seen;
  await eventually(async () => {
    seen = await told(client);
    return holds();
  }, () => `waited in vain; heard at last ${seen}`);
};
export const opened = (client, transport) =>
  until(client, async () => String(await client.state()) === `${Downlink.OPEN},${transport}`);
