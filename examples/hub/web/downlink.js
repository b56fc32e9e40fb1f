/**
 * The browser client of downlink: one class that follows a channel over any of its four transports.
 *
 *     const feed = new Downlink("/channels/news", { transport: "sse" });
 *     feed.addEventListener("message", ({ id, event, data }) => show(data));
 *
 * It keeps the id of the last message as its cursor and hands it back on every request, so a lost connection
 * costs no message and repeats none, and another transport can go on where this one stopped. An ES module without
 * dependencies, for current browsers and Node (which may need to be given a `WebSocket`).
 *
 * @module
 */

/** @typedef {"websocket" | "sse" | "long-polling" | "short-polling"} TransportName */
/** @typedef {"connecting" | "open" | "retrying" | "closed"} State */

/**
 * @typedef {object} Options
 * @property {TransportName} [transport="sse"]
 * @property {string} [cursor] Id of the last message already seen, or `earliest` or `latest`. Without it the server's
 *   default holds, which is `latest`.
 * @property {number} [pollInterval=5000] Milliseconds between short polls.
 * @property {number} [wait=25] Seconds for which a long poll asks to be held.
 * @property {number} [timeout=60000] Milliseconds of silence after which a poll or an SSE stream counts as lost. It has to
 *   exceed the server's heartbeat. (A browser hides a WebSocket's pings from scripts: there the server finds out.)
 * @property {string} [token] Sent as `access_token=`, since a browser's WebSocket cannot carry a header.
 * @property {Record<string, string>} [headers] More headers for the HTTP transports.
 * @property {typeof fetch} [fetch] In place of the global one.
 * @property {typeof WebSocket} [WebSocket] In place of the global one.
 * @property {() => number} [random] Jitter from [0, 1), in place of `Math.random`.
 */

/** First and last ceiling of the backoff, in milliseconds. */
const firstBackoff = 1000;
const lastBackoff = 30000;

/** A long poll that comes back sooner than this with nothing new was not held, and must not be repeated in a tight loop. */
const shortestHold = 1000;

/** Close codes after which the same request would be refused again: refused by policy, authorization expired. */
const finalCloseCodes = new Set([1008, 4002]);

/** Statuses below 500 that may be different the next time. */
const passingStatuses = new Set([408, 425, 429]);

/** A message of the channel, or a direct reply of the server's (which has no id and is not replayed). */
export class DownlinkMessage extends Event {
  /** @param {string} id @param {string} event @param {string | ArrayBuffer} data */
  constructor(id, event, data) {
    super("message");
    /** Opaque; empty for a direct reply. */
    this.id = id;
    /** Name of the event, `message` by default. */
    this.event = event;
    /** A string, or an ArrayBuffer where the payload is binary. */
    this.data = data;
  }
}

/**
 * Follows one channel. Connects at once; events:
 * - `message` ({@link DownlinkMessage}), each message once and in order;
 * - `gap` with `requested` and `earliest`: messages after `requested` are no longer retained, it goes on at `earliest`;
 * - `open` whenever the server has answered, the first time and after each loss;
 * - `state` with `state`, and while retrying `wait` in milliseconds;
 * - `error` with `error`, and `final` where trying again is pointless (the state is then `closed`).
 */
export class Downlink extends EventTarget {
  #url;
  #options;
  #cursor;
  /** @type {State} */
  #state = "closed";
  /** The connection of the moment. What an older one still delivers is dropped. @type {AbortController | undefined} */
  #link;
  #timer;
  #attempt = 0;
  #opened = false;
  /** From the SSE field `retry:`: the least time before coming back, in milliseconds. */
  #retry = 0;
  #socket;

  /** What was received so far. `bytes` are of bodies and frame payloads: scripts do not see headers. */
  stats = { messages: 0, bytes: 0, requests: 0, gaps: 0, reconnects: 0 };

  /** @param {string | URL} url The channel, relative to the page. @param {Options} [options] */
  constructor(url, options = {}) {
    super();
    this.#url = new URL(url, globalThis.location?.href);
    this.#options = {
      transport: "sse", pollInterval: 5000, wait: 25, timeout: 60000, random: Math.random,
      fetch: (...request) => globalThis.fetch(...request), WebSocket: globalThis.WebSocket, ...options,
    };
    this.#cursor = options.cursor ?? "";
    const { transport } = this.#options;
    if (!["websocket", "sse", "long-polling", "short-polling"].includes(transport)) {
      throw new TypeError(`unknown transport "${transport}": websocket, sse, long-polling or short-polling`);
    }
    if (transport === "websocket" && !this.#options.WebSocket) {
      throw new TypeError("there is no WebSocket here: pass a class as the option WebSocket");
    }
    this.#state = "connecting";
    // In a turn of its own, so that listeners added right after construction hear everything.
    this.#timer = setTimeout(() => this.#connect(), 0);
  }

  get transport() { return this.#options.transport; }
  get state() { return this.#state; }

  /** The cursor: give it to another Downlink, whatever its transport, and that one goes on from here. */
  get lastEventId() { return this.#cursor; }

  /** Ends for good; `reconnect()` alone wakes it again. */
  close() {
    this.#cut();
    this.#setState("closed");
  }

  /**
   * Cuts the connection as if the network had failed. It comes back by its cursor after its backoff, or after `wait`
   * milliseconds where given.
   * @param {number} [wait]
   */
  drop(wait) {
    if (this.#state === "closed" || this.#state === "retrying") return;
    this.#lost(new Error("dropped on request"), wait);
  }

  /** Connects now, by its cursor, whatever the state. */
  reconnect() {
    this.#attempt = 0;
    this.#connect();
  }

  /**
   * Sends to the channel's inbound handler: a WebSocket frame, or a POST on the other transports.
   * @param {string | ArrayBuffer | ArrayBufferView} data
   * @returns {Promise<string | undefined>} The body of the POST's answer. Nothing is known of a frame but that it was handed
   *   to the network.
   */
  async send(data) {
    if (this.transport === "websocket") {
      if (this.#state !== "open") throw new Error(`cannot send while ${this.#state}`);
      this.#socket.send(data);
      return undefined;
    }
    const type = typeof data === "string" ? "text/plain;charset=UTF-8" : "application/octet-stream";
    this.stats.requests += 1;
    const answer = await this.#options.fetch(this.#target().href,
      { method: "POST", body: data, headers: { ...this.#options.headers, "Content-Type": type } });
    if (!answer.ok) throw await refusal(answer);
    return answer.text();
  }

  #connect() {
    this.#cut();
    const link = this.#link = new AbortController();
    this.#setState("connecting");
    if (link.signal.aborted) return;
    const lost = (error) => {
      if (!link.signal.aborted) this.#lost(error);
    };
    const run = { "websocket": () => this.#converse(link.signal), "sse": () => this.#stream(link.signal),
      "long-polling": () => this.#poll(link.signal), "short-polling": () => this.#poll(link.signal) }[this.transport];
    run().then(() => lost(new Error("the server ended the stream")), lost);
  }

  /** Ends the connection or the wait for one, without a change of state. */
  #cut() {
    clearTimeout(this.#timer);
    this.#link?.abort();
    this.#link = undefined;
    this.#socket = undefined;
  }

  #lost(error, wait) {
    this.#cut();
    if (error.final) {
      this.#setState("closed");
      this.dispatchEvent(withFields("error", { error, final: true }));
      return;
    }
    // Full jitter: clients that lost one server do not come back as a crowd. What the server asked for is the least.
    const ceiling = Math.min(lastBackoff, firstBackoff * 2 ** this.#attempt);
    const floor = error.retryAfter ?? this.#retry;
    wait ??= floor + this.#options.random() * ceiling;
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#setState("retrying", wait);
    this.dispatchEvent(withFields("error", { error, final: false }));
  }

  #setState(state, wait) {
    if (this.#state === state && state !== "connecting") return;
    this.#state = state;
    this.dispatchEvent(withFields("state", { state, wait }));
  }

  #markOpen() {
    this.#attempt = 0;
    if (this.#state === "open") return;
    if (this.#opened) this.stats.reconnects += 1;
    this.#opened = true;
    this.#setState("open");
    this.dispatchEvent(new Event("open"));
  }

  /**
   * One message or notice of a streaming transport.
   * @param {AbortSignal} signal
   * @param {{ id?: string, event?: string, data: string | ArrayBuffer }} received
   */
  #receive(signal, { id, event, data }) {
    if (event === "downlink.open" || event === "downlink.gap" || !event?.startsWith("downlink.")) this.#markOpen();
    if (signal.aborted) return;
    // The cursor moves before listeners run: one that drops the connection comes back after this message, not before it.
    if (id !== undefined) this.#cursor = id;
    if (event === "downlink.gap") this.#reportGap(JSON.parse(data));
    // Other notices of the server's are for later versions.
    if (event?.startsWith("downlink.")) return;
    this.stats.messages += 1;
    this.dispatchEvent(new DownlinkMessage(id ?? "", event || "message", data));
  }

  #reportGap({ requested, earliest }) {
    this.stats.gaps += 1;
    this.dispatchEvent(withFields("gap", { requested, earliest }));
  }

  /** The channel's URL with the cursor and the token. In the query, not in headers: so no request needs a preflight. */
  #target(parameters = {}) {
    const target = new URL(this.#url);
    for (const [name, value] of Object.entries({ ...parameters, access_token: this.#options.token })) {
      if (value) target.searchParams.set(name, value);
    }
    return target;
  }

  async #request(signal, parameters, accept) {
    this.stats.requests += 1;
    // no-store: a browser that revalidated by itself would turn a 304 into messages already seen.
    const answer = await this.#options.fetch(this.#target(parameters).href,
      { signal, cache: "no-store", headers: { ...this.#options.headers, Accept: accept } });
    if (!answer.ok && answer.status !== 304) throw await refusal(answer);
    return answer;
  }

  async #poll(signal) {
    const long = this.transport === "long-polling";
    // The first request does not ask to be held: it says at once that the server is there, and brings what was missed.
    for (let held = false; ; held = long) {
      const began = Date.now();
      const wait = held ? this.#options.wait : 0;
      const answer = await within(this.#options.timeout + wait * 1000,
        this.#exchange(signal, { cursor: this.#cursor, wait }));
      if (signal.aborted) return;
      this.#markOpen();
      const before = this.#cursor;
      if (answer) this.#take(signal, answer);
      if (signal.aborted) return;
      if (answer?.more) continue;
      if (!long) await pause(this.#options.pollInterval, signal);
      else if (held && this.#cursor === before && Date.now() - began < shortestHold) await pause(shortestHold, signal);
      if (signal.aborted) return;
    }
  }

  async #exchange(signal, parameters) {
    const response = await this.#request(signal, parameters, "application/json");
    const body = await response.arrayBuffer();
    this.stats.bytes += body.byteLength;
    return response.status === 304 ? undefined : JSON.parse(new TextDecoder().decode(body));
  }

  /** The messages of one poll's answer. */
  #take(signal, answer) {
    if (answer.gap) {
      this.#reportGap({ requested: this.#cursor, earliest: answer.messages[0]?.id ?? answer.cursor });
    }
    for (const { id, event, data, encoding } of answer.messages) {
      if (signal.aborted) return;
      this.#receive(signal, { id, event, data: encoding === "base64" ? fromBase64(data) : data });
    }
    if (!signal.aborted) this.#cursor = answer.cursor;
  }

  /**
   * SSE by fetch() and a parser of our own instead of EventSource. EventSource hides the bytes, the status and the moment of
   * its next attempt, gives up for good on any status but 200, cannot be dropped and told to come back, sends no headers
   * of the application's, and keeps the cursor of its first URL; the stream on the wire is the same.
   */
  async #stream(signal) {
    const { timeout } = this.#options;
    const response = await within(timeout, this.#request(signal, { cursor: this.#cursor }, "text/event-stream"));
    if (response.status === 204) throw Object.assign(new Error("the server has nothing more to send"), { final: true });
    const type = response.headers.get("Content-Type");
    if (!type?.startsWith("text/event-stream")) throw new Error(`the answer is no event stream but ${type}`);
    const reader = response.body.getReader();
    const parser = new EventStreamParser((received) => {
      if (!signal.aborted) this.#receive(signal, received);
    }, (retry) => { this.#retry = retry; });
    while (true) {
      const { value, done } = await within(timeout, reader.read());
      if (done || signal.aborted) return;
      this.stats.bytes += value.byteLength;
      parser.push(value);
    }
  }

  /** WebSocket with the subprotocol downlink.v1, whose frames carry ids. Settles when the connection has ended. */
  #converse(signal) {
    return new Promise((_, reject) => {
      const target = this.#target({ cursor: this.#cursor });
      target.protocol = target.protocol.replace(/^http/, "ws");
      this.stats.requests += 1;
      const socket = this.#socket = new this.#options.WebSocket(target.href, ["downlink.v1"]);
      socket.binaryType = "arraybuffer";
      signal.addEventListener("abort", () => {
        // A browser logs an error for a WebSocket that is closed before it has opened.
        if (socket.readyState === 0) socket.addEventListener("open", () => socket.close());
        else socket.close();
      });
      socket.addEventListener("message", ({ data }) => {
        if (signal.aborted) return;
        this.stats.bytes += typeof data === "string" ? new TextEncoder().encode(data).length : data.byteLength;
        try {
          this.#receive(signal, parseFrame(data));
        } catch (error) {
          reject(error);
        }
      });
      socket.addEventListener("error", () => {});
      socket.addEventListener("close", ({ code, reason }) => {
        const error = new Error(`the WebSocket was closed with ${code}${reason ? `: ${reason}` : ""}`);
        reject(Object.assign(error, { code, final: finalCloseCodes.has(code) }));
      });
    });
  }
}

/** WHATWG HTML, "Interpreting an event stream": bytes in pieces of any size to events. */
class EventStreamParser {
  #decoder = new TextDecoder();
  #line = "";
  #afterCr = false;
  #data = [];
  #event;
  #id;
  #onEvent;
  #onRetry;

  constructor(onEvent, onRetry) {
    this.#onEvent = onEvent;
    this.#onRetry = onRetry;
  }

  /** @param {Uint8Array} bytes */
  push(bytes) {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return;
    // CRLF may have been cut in two: the CR has ended the line already.
    if (this.#afterCr && text[0] === "\n") text = text.slice(1);
    if (!text) {
      this.#afterCr = false;
      return;
    }
    this.#afterCr = text.endsWith("\r");
    const lines = text.split(/\r\n|\r|\n/);
    lines[0] = this.#line + lines[0];
    this.#line = lines.pop();
    for (const line of lines) this.#take(line);
  }

  #take(line) {
    if (line === "") return this.#finish();
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.#onRetry(Number(value));
  }

  #finish() {
    const [id, event, lines] = [this.#id, this.#event, this.#data];
    this.#id = this.#event = undefined;
    this.#data = [];
    if (lines.length === 0) return;
    const data = lines.join("\n");
    if (event?.endsWith(";base64")) {
      this.#onEvent({ id, event: event.slice(0, -";base64".length), data: fromBase64(data) });
    } else {
      this.#onEvent({ id, event, data });
    }
  }
}

/**
 * A frame of downlink.v1: header lines, an empty line, the payload. A header line that is not known is passed over.
 * @param {string | ArrayBuffer} frame
 */
function parseFrame(frame) {
  let head;
  let data;
  if (typeof frame === "string") {
    const end = frame.startsWith("\n") ? 0 : frame.indexOf("\n\n") + 1;
    if (end === 0 && !frame.startsWith("\n")) throw new Error("a frame without the header of downlink.v1");
    head = frame.slice(0, end);
    data = frame.slice(end + 1);
  } else {
    const bytes = new Uint8Array(frame);
    let end = 0;
    while (end < bytes.length && !(bytes[end] === 10 && (end === 0 || bytes[end - 1] === 10))) end += 1;
    if (end === bytes.length) throw new Error("a frame without the header of downlink.v1");
    head = new TextDecoder().decode(bytes.subarray(0, end));
    data = frame.slice(end + 1);
  }
  const fields = Object.fromEntries(head.split("\n").filter((line) => line.includes(": ")).map((line) => {
    const colon = line.indexOf(": ");
    return [line.slice(0, colon), line.slice(colon + 2)];
  }));
  return { id: fields.id, event: fields.event, data };
}

function withFields(type, fields) {
  return Object.assign(new Event(type), fields);
}

/** The error of an answer that is none of success: with its problem's words, and whether and when to try again. */
async function refusal(answer) {
  let problem = {};
  try {
    problem = await answer.json();
  } catch {
    // No problem details: the status has to do.
  }
  const words = [answer.status, problem.title ?? answer.statusText, problem.detail].filter(Boolean).join(", ");
  const after = answer.headers.get("Retry-After");
  const seconds = /^[0-9]+$/.test(after ?? "") ? Number(after) : (Date.parse(after) - Date.now()) / 1000;
  return Object.assign(new Error(`the server answered ${words}`), {
    status: answer.status,
    final: answer.status < 500 && !passingStatuses.has(answer.status),
    retryAfter: seconds >= 0 ? seconds * 1000 : undefined,
  });
}

/** Gives up waiting for `work` after `milliseconds`; whoever hears of it cuts the connection, which ends the work too. */
async function within(milliseconds, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("the server has been silent for too long")), milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Ends early, without an error, where the connection is cut. */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
  });
}

/** @param {string} text @returns {ArrayBuffer} */
function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;
}
