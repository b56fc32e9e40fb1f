// The browser client of downlink; see downlink.d.ts.

const transports = ["websocket", "sse", "long-polling", "short-polling"];
const defaults = { transport: "auto", cursor: "", pollInterval: 5000, wait: 25, timeout: 60000, patience: 5000,
  upgradeAfter: 60000, tokenBy: "query", headers: {}, random: Math.random, fetch: (...given) => fetch(...given) };

const [CONNECTING, OPEN, CLOSED] = [0, 1, 2];

export class Downlink extends EventTarget {
  static CONNECTING = CONNECTING;
  static OPEN = OPEN;
  static CLOSED = CLOSED;

  stats = { messages: 0, bytes: 0, requests: 0, gaps: 0, reconnects: 0 };
  #origin;
  #options;
  #renews;
  #token;
  /** What may be used; what is; what was open last. */
  #names;
  #at;
  #home;
  #readyState = CONNECTING;
  #cursor;
  /** The connection, or the wait for one. */
  #link;
  #socket;
  #attempt = 0;
  /** By transport: three failures are too many, or two brief openings. */
  #bad = [];
  #climbs = 0;
  /** When better transports are tried again. */
  #due = 0;
  #retry = 0;
  #wait;
  #unheld;
  #told;

  constructor(url, options) {
    super();
    ({ href: this.url, origin: this.#origin } = new URL(url, globalThis.location?.href));
    this.#options = { WebSocket: globalThis.WebSocket, ...options };
    for (const name in defaults) this.#options[name] ??= defaults[name];
    const { transport, tokenBy, token, WebSocket, cursor, wait } = this.#options;
    this.#renews = typeof token === "function";
    this.#token = this.#renews ? token : () => token;
    const possible = transports.slice(WebSocket && tokenBy === "query" ? 0 : 1);
    this.#names = transport === "auto" ? possible : [transport].flat();
    for (const name of this.#names) {
      if (!possible.includes(name)) throw new TypeError(`the transport "${name}" is not one of ${possible.join(", ")}`);
    }
    this.#cursor = cursor;
    this.#wait = wait || 1;
    this.#at = this.#home = Math.max(0, this.#names.indexOf(this.#memory()));
    for (const name of ["open", "message", "error", "close", "gap", "transport"]) {
      this.addEventListener(name, (event) => this[`on${name}`]?.(event));
    }
    this.#connectAfter(0);
  }

  get readyState() { return this.#readyState; }
  get transport() { return this.#names[this.#at]; }
  get lastEventId() { return this.#cursor; }

  close() { this.#end(); }

  reconnect() {
    this.#attempt = 0;
    this.#connect();
  }

  async send(data) {
    if (this.#socket?.readyState === OPEN) return this.#socket.send(data);
    const type = typeof data !== "string" && { "Content-Type": "application/octet-stream" };
    const signal = AbortSignal.timeout(most(this.#options.timeout));
    return (await this.#request({}, { method: "POST", body: data, signal }, type)).text();
  }

  #memory(name) {
    try {
      const key = `downlink ${this.#origin}`;
      return name ? sessionStorage.setItem(key, name) : sessionStorage.getItem(key);
    } catch {}
  }

  #emit(type, fields) { this.dispatchEvent(Object.assign(new Event(type), fields)); }

  #begin() {
    this.#link?.abort();
    this.#socket = undefined;
    const link = this.#link = new AbortController();
    const { signal } = link;
    // What waits goes on, what is open shows that it lives.
    const go = () => (link.wake ?? (() => this.#connect()))();
    const wake = () => globalThis.document?.hidden || go();
    globalThis.document?.addEventListener("visibilitychange", wake, { signal });
    globalThis.addEventListener?.("pageshow", wake, { signal });
    globalThis.addEventListener?.("online", () => {
      this.#climbs = this.#due = 0;
      go();
    }, { signal });
    globalThis.addEventListener?.("offline", () => this.#lost(failure("the network is away"), Infinity), { signal });
    return link;
  }

  #connectAfter(wait) {
    const { signal } = this.#begin();
    if (wait < Infinity) pause(wait, signal).then(() => signal.aborted || this.#connect());
  }

  async #connect() {
    const link = this.#begin();
    this.#readyState = CONNECTING;
    try {
      await this.#run(this.#at, link, (received) => this.#receive(link, received));
    } catch (error) {
      if (!link.signal.aborted) this.#lost(Object(error));
    }
  }

  /** Until it fails; with a `fault` that other transports may not have. */
  #run(at, link, receive) {
    const { timeout, patience } = this.#options;
    const { signal } = link;
    const socket = this.#names[at] === "websocket";
    const last = at + 1 === this.#names.length;
    let [looked, asked, known, slept] = [Date.now()];
    link.heard = looked;
    return new Promise((_, reject) => {
      // After a machine's sleep silence is nobody's fault.
      link.wake = async () => {
        const now = Date.now();
        slept = (slept && known === link.heard) || now - looked > patience + 1000;
        known = link.heard;
        looked = now;
        if (now - Math.max(known, asked ?? 0) <= (link.opened || last ? timeout : patience)) return;
        asked = now;
        try {
          const missed = !(link.opened && socket) || await this.#missed();
          if (missed === false) return;
          throw failure("the server is silent", missed && !slept ? { fault: true } : { retryAfter: 0 });
        } catch (error) {
          reject(error);
        }
      };
      const watch = setInterval(link.wake, Math.min(1000, timeout / 4, patience / 4));
      signal.addEventListener("abort", () => clearInterval(watch));
      const run = socket ? this.#converse(link, receive) : this.#names[at] === "sse" ? this.#stream(link, receive)
        : this.#poll(link, receive, this.#names[at] === "long-polling");
      run.catch(reject);
    });
  }

  /** Browsers hide pings, so a poll tells whether a silent WebSocket has missed messages. */
  async #missed() {
    const cursor = this.#cursor;
    try {
      const signal = AbortSignal.timeout(most(this.#options.patience));
      const { messages } = await this.#ask({ signal }, { cursor, wait: 0 });
      return messages.length > 0 && cursor === this.#cursor;
    } catch (error) {
      if (/429|503/.test(error.status)) return false;  // it lives
      if (!(error.status < 500)) throw error;  // else it takes no polls
    }
  }

  #lost(error, wait) {
    const { opened } = this.#link;
    const { patience, random } = this.#options;
    const at = this.#at;
    if (opened && Date.now() - opened > patience) this.#attempt = this.#bad.length = 0;
    else if (!wait && !error.final && !error.retryAfter) {
      this.#bad[at] = (this.#bad[at] ?? 0) + (opened ? 1.5 : 1);
      error.fault ||= this.#bad[at] >= 3;
    }
    const next = error.fault && at + 1 < this.#names.length;
    if (error.final && !next && !(error.fault && at)) return this.#end(error);
    if (next) {
      // Perhaps tried just before the server was back.
      if (!opened && this.transport === this.#told) this.#due = Date.now() + 500 * (1 + random());
      this.#at += 1;
      this.#bad[at] = wait = 0;
    } else {
      // Another one may be offered.
      if (error.final) this.#home = 0;
      this.#at = this.#home;
      // What the server asked for is the least. Full jitter: no crowd comes back at once.
      wait ??= (error.retryAfter ?? this.#retry) + random() * Math.min(30000, 1000 * 2 ** this.#attempt);
      this.#attempt += 1;
    }
    this.#readyState = CONNECTING;
    this.#connectAfter(wait);
    this.#emit("error", { error, wait });
  }

  #end(error) {
    if (this.#readyState === CLOSED) return;
    const link = this.#link;
    link.abort();
    this.#readyState = CLOSED;
    if (error) this.#emit("error", { error });
    if (link === this.#link) this.#emit("close", { error });
  }

  #open(link) {
    link.opened = Date.now();
    this.#readyState = OPEN;
    this.#home = this.#at;
    if (!this.#at) this.#due = 0;
    const [transport, previous] = [this.transport, this.#told];
    if (previous) this.stats.reconnects += 1;
    this.#told = transport;
    if (this.#names.length > 1) this.#memory(transport);
    this.#climb(link);
    if (transport !== previous) this.#emit("transport", { transport, previous });
    if (!link.signal.aborted) this.#emit("open");
  }

  /** Changes to the first better transport that opens. */
  async #climb({ signal }) {
    const { upgradeAfter, random } = this.#options;
    while (this.#at > 0) {
      this.#due ||= Date.now() + upgradeAfter * 2 ** Math.min(this.#climbs, 4) * (1 + random()) / 2;
      await pause(this.#due - Date.now(), signal);
      if (signal.aborted) return;
      this.#due = 0;
      this.#climbs += 1;
      for (let at = 0; at < this.#at && !signal.aborted; at += 1) {
        const trial = part(signal);
        const opened = await new Promise((resolve) => {
          this.#run(at, trial, (_, probe) => probe || resolve(true)).catch(() => resolve(false));
        });
        trial.abort();
        if (!opened || signal.aborted) continue;
        this.#at = at;
        this.#attempt = 0;
        return this.#connect();
      }
    }
  }

  #receive(link, { id, event = "message", data }) {
    const { signal } = link;
    if (!signal.aborted && !link.opened) this.#open(link);
    if (signal.aborted) return;
    // First the cursor: a listener that reconnects comes back after this message.
    if (id !== undefined) this.#cursor = id;
    if (event === "downlink.gap") {
      this.stats.gaps += 1;
      this.#emit("gap", JSON.parse(data));
    }
    if (event.startsWith("downlink.")) return;
    this.stats.messages += 1;
    this.dispatchEvent(new MessageEvent(event, { data, lastEventId: id ?? "", origin: this.#origin }));
  }

  /** Not in headers: no request needs a preflight. */
  #target(parameters) {
    const target = new URL(this.url);
    for (const name in parameters) {
      if (parameters[name] || name === "wait") target.searchParams.set(name, parameters[name]);
    }
    return target;
  }

  async #request(parameters, request, more) {
    const { headers, tokenBy, credentials } = this.#options;
    const token = await this.#token();
    const bearer = tokenBy === "header" && token && { Authorization: `Bearer ${token}` };
    const target = this.#target({ ...parameters, access_token: !bearer && token });
    this.stats.requests += 1;
    // A browser's revalidation would turn a 304 into messages already seen.
    const answer = await this.#options.fetch(target.href,
      { cache: "no-store", credentials, ...request, headers: { ...bearer, ...headers, ...more } });
    if (!answer.ok && answer.status !== 304) throw await this.#refusal(answer);
    return answer;
  }

  async #refusal(answer) {
    const { status, headers } = answer;
    const { title = answer.statusText, detail } = await answer.json().catch(() => {}) ?? {};
    const after = headers.get("Retry-After");
    const seconds = after > 0 ? Number(after) : (Date.parse(after) - Date.now()) / 1000;
    return failure(`the server answered ${[status, title, detail].filter(Boolean).join(", ")}`, {
      status,
      fault: [405, 406, 426].includes(status),
      final: status < 500 && ![408, 425, 429].includes(status) && !(status === 401 && this.#renews),
      retryAfter: seconds >= 0 ? seconds * 1000 : undefined,
    });
  }

  async #ask(request, parameters) {
    const answer = await this.#request(parameters, request, { Accept: "application/json" });
    const body = await answer.arrayBuffer();
    this.stats.bytes += body.byteLength;
    return body.byteLength ? JSON.parse(new TextDecoder().decode(body)) : { messages: [] };
  }

  async #poll(link, receive, long) {
    const { signal } = link;
    // The first is not held: it shows that the server is there.
    for (let wait = 0; !signal.aborted; wait = long ? this.#wait : 0) {
      const began = Date.now();
      const cursor = this.#cursor;
      link.heard = began + wait * 1000;
      const request = part(signal);
      const answer = await this.#ask({ signal: request.signal }, { cursor, wait }).catch((error) => {
        // Twice in a row: something on the way lets none be held for so long.
        if (wait && !signal.aborted && !(this.#unheld = !this.#unheld)) this.#wait = Math.ceil(wait / 2);
        throw error;
      }).finally(() => request.abort());
      if (wait) this.#unheld = false;
      link.heard = Infinity;
      const hear = (received) => receive(received, long && !wait);
      hear({ event: "downlink.open" });
      if (answer.gap) {
        const earliest = answer.messages[0]?.id ?? answer.cursor;
        hear({ id: "earliest", event: "downlink.gap", data: JSON.stringify({ requested: cursor, earliest }) });
      }
      for (const { id, event, data, encoding } of answer.messages) {
        hear({ id, event, data: encoding ? fromBase64(data) : data });
      }
      hear({ id: answer.cursor, event: "downlink.cursor" });
      if (answer.more) continue;
      if (!long) await pause(this.#options.pollInterval, signal);
      // Not held: no tight loop.
      else if (wait && cursor === this.#cursor && Date.now() - began < 1000) await pause(1000, signal);
      await visible(signal);
    }
  }

  /** By fetch(): EventSource hides heartbeats and statuses, and keeps its first URL's cursor. */
  async #stream(link, receive) {
    const { signal } = link;
    const answer = await this.#request({ cursor: this.#cursor, wait: 0 }, { signal }, { Accept: "text/event-stream" });
    if (answer.status === 204) throw failure("the server has no more to send", { final: true });
    const type = answer.headers.get("Content-Type");
    if (!type?.startsWith("text/event-stream")) throw failure(`this is no event stream but ${type}`, { fault: true });
    const decoder = new TextDecoder();
    let [rest, cr, fields] = ["", false, {}];
    for (const reader = answer.body.getReader(); ;) {
      const { value: bytes, done } = await reader.read();
      // Of nothing but "retry:", it is a refusal.
      if (done) throw failure("the server ended the stream", !link.opened && { retryAfter: this.#retry });
      link.heard = Date.now();
      this.stats.bytes += bytes.byteLength;
      const text = decoder.decode(bytes, { stream: true });
      if (!text) continue;
      // A CRLF may be cut in two.
      rest += cr ? text.replace(/^\n/, "") : text;
      cr = text.endsWith("\r");
      if (!/[\r\n]/.test(text)) continue;
      const lines = rest.split(/\r\n|\r|\n/);
      rest = lines.pop();
      for (const line of lines) {
        if (line) {
          this.#field(fields, line);
        } else {
          const { id, event = "message", data } = fields;
          fields = {};
          if (data === undefined) continue;
          const name = event.replace(/;base64$/, "");
          receive({ id, event: name, data: name === event ? data : fromBase64(data) });
        }
      }
    }
  }

  #field(fields, line) {
    const [, name, value] = /^([^:]*):? ?(.*)/s.exec(line);
    if (name === "data") fields.data = fields.data === undefined ? value : `${fields.data}\n${value}`;
    else if (name === "event") fields.event = value || undefined;
    else if (name === "id" && !value.includes("\0")) fields.id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.#retry = Number(value);
  }

  async #converse(link, receive) {
    const { signal } = link;
    const target = this.#target({ cursor: this.#cursor, access_token: await this.#token() });
    if (signal.aborted) return;
    target.protocol = target.protocol.replace("http", "ws");
    this.stats.requests += 1;
    let socket;
    try {
      socket = new this.#options.WebSocket(target.href, ["downlink.v1"]);
    } catch (error) {
      throw failure(error.message, { fault: true });
    }
    if (link === this.#link) this.#socket = socket;
    socket.binaryType = "arraybuffer";
    await new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        const close = () => socket.close();
        // Closing it before would be an error on the console.
        if (socket.readyState !== CONNECTING) return close();
        socket.addEventListener("open", close);
        setTimeout(close, Math.min(this.#options.patience, 5000));
      });
      socket.addEventListener("message", ({ data }) => {
        link.heard = Date.now();
        this.stats.bytes += typeof data === "string" ? new TextEncoder().encode(data).length : data.byteLength;
        try {
          receive(parseFrame(data));
        } catch (error) {
          reject(error);
        }
      });
      socket.addEventListener("error", () => {});
      socket.addEventListener("close", ({ code, reason }) => {
        reject(failure(`the WebSocket was closed with ${code} ${reason}`, { code, fault: !link.opened,
          final: code === 4002 && !this.#renews }));
      });
    });
  }
}

/** Header lines, an empty line, the payload. */
function parseFrame(frame) {
  const text = typeof frame === "string" ? frame : new TextDecoder("latin1").decode(frame);
  const end = `\n${text}`.indexOf("\n\n");
  if (end < 0) throw failure("a frame without a head");
  const head = frame.slice(0, end);
  const fields = { data: frame.slice(end + 1) };
  for (const line of (typeof head === "string" ? head : new TextDecoder().decode(head)).split("\n")) {
    const [, name, value] = /^(id|event): (.*)/s.exec(line) ?? [];
    if (name) fields[name] = value;
  }
  return fields;
}

function failure(words, fields) { return Object.assign(new Error(words), fields); }

/** Leaves nothing on a connection that lasts. */
function part(signal) {
  const part = new AbortController();
  if (signal.aborted) part.abort();
  signal.addEventListener("abort", () => part.abort(), { signal: part.signal });
  return part;
}

function most(milliseconds) { return Math.min(milliseconds, 2 ** 31 - 1); }  // that timers take

function ended({ signal }) {
  return new Promise((resolve) => signal.aborted ? resolve() : signal.addEventListener("abort", resolve));
}

function pause(milliseconds, signal) {
  const waiting = part(signal);
  const timer = setTimeout(() => waiting.abort(), most(milliseconds));
  return ended(waiting).then(() => clearTimeout(timer));
}

function visible(signal) {
  const { document } = globalThis;
  if (!document?.hidden || signal.aborted) return;
  const waiting = part(signal);
  document.addEventListener("visibilitychange", () => waiting.abort(), { signal: waiting.signal });
  return ended(waiting);
}

function fromBase64(text) { return Uint8Array.from(atob(text), (byte) => byte.charCodeAt()).buffer; }
