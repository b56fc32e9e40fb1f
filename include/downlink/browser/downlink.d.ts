/**
 * The browser client of downlink: follows a channel over the best transport that gets through.
 *
 *     const news = new Downlink("/channels/news");
 *     news.addEventListener("message", ({ data }) => show(data));
 *
 * It keeps the id of the last message as its cursor and hands it back with each request: no loss of a connection and no
 * change of transport costs or repeats a message, and what the server no longer has is told as a `gap`. One ES module
 * without dependencies, for current browsers and Node 20 (which has to be passed a `WebSocket`, as of the package ws).
 */

/** The ways in which messages may come, best first: by latency, and by what a message costs. */
export type Transport = "websocket" | "sse" | "long-polling" | "short-polling";

/** How to follow a channel. All times are in milliseconds unless said otherwise. */
export interface DownlinkOptions {
  /**
   * One transport, several in the order in which to try them, or `auto`: all that can be used here. With several, one
   * gives way to the next when a server or a proxy does not offer it, when it stays silent, or ends twice soon after
   * opening or three times before it; better ones are tried again later, and what worked is remembered for the session.
   * Where the last one is not offered, it begins again with the first, after a wait.
   * By default `auto`: what gets through to a user is not known before.
   */
  transport?: "auto" | Transport | readonly Transport[];
  /**
   * Id of the last message already seen, or `earliest` or `latest`. By default none, which leaves the start to the
   * server: `latest` unless its route says otherwise.
   */
  cursor?: string;
  /**
   * Between two short polls; none are made while the page is hidden. By default 5000: twelve requests a minute are
   * little, and nothing hurries.
   */
  pollInterval?: number;
  /**
   * Seconds for which a long poll asks to be held, at least one; halved where something on the way ends two in a row.
   * None is made while the page is hidden. By default 25: below the 30 after which the most impatient proxies give up.
   */
  wait?: number;
  /**
   * Silence after which an open connection counts as lost; a held poll may be silent for its `wait` before. It has to
   * exceed the server's heartbeat. Browsers hide a WebSocket's pings: a silent one is judged by a poll that asks
   * whether there are messages that have not come, and made anew where no poll is taken, or gets an answer before
   * `patience` is over (as with six connections to a server of HTTP/1.1 in use). By default 60000: two of the
   * server's default heartbeats of 30 seconds, so that one may come late.
   */
  timeout?: number;
  /**
   * How long a transport that is not the last may take to open, and what counts as soon after opening. By default 5000:
   * some round trips of a slow network, and no longer than a user waits for what comes over the next transport.
   */
  patience?: number;
  /**
   * After how long, or half of it at least, better transports are tried again; doubled with each try, four times at
   * most. By default 60000: a try costs a request or two, and what stood in the way seldom goes sooner.
   */
  upgradeAfter?: number;
  /**
   * The token to show, or what gives a fresh one for each request; then an expired one is no reason to give up. By
   * default none: what everybody may read needs none.
   */
  token?: string | (() => string | undefined | Promise<string | undefined>);
  /**
   * Where the token stands: in the query as `access_token`, where it may show in logs, or in the header
   * `Authorization`, which leaves WebSocket out, as a browser's carries no headers. By default `query`: it serves every
   * transport, and no request to another origin needs a preflight but sending bytes.
   */
  tokenBy?: "query" | "header";
  /** More headers for all requests but WebSocket's. By default none: to another origin they would need a preflight. */
  headers?: Record<string, string>;
  /** Whether requests carry cookies. By default as in `fetch`: to the page's own origin alone. */
  credentials?: RequestCredentials;
  /** What makes the requests. By default the global `fetch`; another one may add to them, or fail on purpose. */
  fetch?: (url: string, request: RequestInit) => Promise<Response>;
  /**
   * What makes the WebSockets. By default the global one; where there is none, as in Node 20, that transport is left
   * out unless this names one.
   */
  WebSocket?: new (url: string, protocols: string[]) => WebSocketLike;
  /** Numbers from [0, 1), for the jitter of waits. By default `Math.random`; tests may want to know what comes. */
  random?: () => number;
}

/** As much of a WebSocket as is used. */
export interface WebSocketLike {
  /** 0 while it connects, 1 while it is open. */
  readonly readyState: number;
  /** Is set to `arraybuffer`: binary messages have to come as such. */
  binaryType: string;
  /** Sends one frame. */
  send(data: any): void;
  /** Ends it, also before it has opened. */
  close(): void;
  /** Tells of `open`, `message` (with `data`), `error` and `close` (with `code` and `reason`). */
  addEventListener(type: any, listener: (event: any) => void): void;
}

/**
 * A message of the channel, or a direct reply of the server's, whose `lastEventId` is empty. `type` is the message's
 * event, `message` by default; `data` is a string, or an ArrayBuffer where the payload is binary.
 */
export type DownlinkMessage = MessageEvent<string | ArrayBuffer>;

/** The connection was lost or could not be made. `readyState` tells whether it is tried again. */
export interface DownlinkErrorEvent extends Event {
  /** Why: with the `status` of an answer that refuses, or the `code` with which a WebSocket was closed. */
  readonly error: Error & { readonly status?: number; readonly code?: number };
  /** When it is tried again: 0 over the next transport, Infinity when the network is back, nothing after the last. */
  readonly wait?: number;
}

/** It is over: by `close()`, or by the error of a server that would refuse the same again. */
export interface DownlinkCloseEvent extends Event {
  /** The error, which an `error` has told before; nothing after `close()`. */
  readonly error?: DownlinkErrorEvent["error"];
}

/** Messages after `requested` are no longer retained; it goes on at `earliest`. */
export interface DownlinkGapEvent extends Event {
  /** The cursor that was handed in, or the last id sent: what came last before the gap. */
  readonly requested: string;
  /** The id of the message that comes next, or the cursor to go on from where none is retained. */
  readonly earliest: string;
}

/** Another transport is in use, or the first one. */
export interface DownlinkTransportEvent extends Event {
  /** What has opened. */
  readonly transport: Transport;
  /** What was open before; nothing the first time. */
  readonly previous?: Transport;
}

/**
 * The events whose names are the client's own. Messages with an event of their own come under its name; where that is
 * one of these, they alone are instances of MessageEvent.
 */
export interface DownlinkEventMap {
  /** The server has answered: the first time, and after each loss. */
  open: Event;
  /** A message whose event is the default one; each comes once and in order. */
  message: DownlinkMessage;
  /** It was lost, or could not be made; where it is tried again, `wait` says when. */
  error: DownlinkErrorEvent;
  /** It has ended, and is not tried again. */
  close: DownlinkCloseEvent;
  /** Messages are lost to this client, before those that follow. */
  gap: DownlinkGapEvent;
  /** It has opened over another transport than before; comes before `open`. */
  transport: DownlinkTransportEvent;
}

/** What was received so far. */
export interface DownlinkStats {
  /** Messages and direct replies. */
  messages: number;
  /** Bytes of what was answered to polls, of streams and of frames' payloads: scripts do not see headers. */
  bytes: number;
  /** Requests made, those of trials and sends too. A WebSocket counts as one. */
  requests: number;
  /** Gaps that the server told of. */
  gaps: number;
  /** How often it opened again, over whatever transport. */
  reconnects: number;
}

/** Follows one channel, from its construction on, with the habits of EventSource. */
export class Downlink extends EventTarget {
  /** There is no connection; one is being made, or waits to be. */
  static readonly CONNECTING: 0;
  /** The server has answered, and messages come. */
  static readonly OPEN: 1;
  /** It is over; only `reconnect()` goes on. */
  static readonly CLOSED: 2;

  /**
   * `url` is the channel's, relative to the page. Throws a TypeError for a transport that can't be used here, and for
   * what is no URL.
   */
  constructor(url: string | URL, options?: DownlinkOptions);

  /** The channel's, without what requests add. */
  readonly url: string;
  /** `CONNECTING` (also while it waits to try again), `OPEN` or `CLOSED`. */
  readonly readyState: 0 | 1 | 2;
  /** The transport in use, or being tried. */
  readonly transport: Transport;
  /** The cursor. Another Downlink that is given it, over whatever transport, goes on from here. */
  readonly lastEventId: string;
  /** What it has received, counted from its construction on: one object, which changes. */
  readonly stats: DownlinkStats;

  /** Called at `open`, before the listeners. */
  onopen?: ((event: Event) => void) | null;
  /** Called at `message`, before the listeners; not for messages with an event of their own. */
  onmessage?: ((event: DownlinkMessage) => void) | null;
  /** Called at `error`, before the listeners. */
  onerror?: ((event: DownlinkErrorEvent) => void) | null;
  /** Called at `close`, before the listeners. */
  onclose?: ((event: DownlinkCloseEvent) => void) | null;
  /** Called at `gap`, before the listeners. */
  ongap?: ((event: DownlinkGapEvent) => void) | null;
  /** Called at `transport`, before the listeners. */
  ontransport?: ((event: DownlinkTransportEvent) => void) | null;

  /**
   * Sends to the channel's inbound handler: as a frame over an open WebSocket, else as a POST. Gives the body of the
   * POST's answer; of a frame nothing is known but that it was handed to the network. Rejects where the server refuses,
   * or has not answered after `timeout`.
   */
  send(data: string | ArrayBuffer | ArrayBufferView): Promise<string | undefined>;
  /** Ends for good; `reconnect()` alone wakes it again. */
  close(): void;
  /** Connects now, by its cursor, whatever the state. */
  reconnect(): void;

  /** Listens for one of the client's own events. */
  addEventListener<K extends keyof DownlinkEventMap>(
    type: K, listener: (this: Downlink, event: DownlinkEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions): void;
  /** Listens for messages with an event of their own. */
  addEventListener(
    type: string, listener: (this: Downlink, event: DownlinkMessage) => void,
    options?: boolean | AddEventListenerOptions): void;
  /** Listens as with any EventTarget. */
  addEventListener(
    type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
  /** Listens no more for one of the client's own events. */
  removeEventListener<K extends keyof DownlinkEventMap>(
    type: K, listener: (this: Downlink, event: DownlinkEventMap[K]) => void,
    options?: boolean | EventListenerOptions): void;
  /** Listens no more for messages with an event of their own. */
  removeEventListener(
    type: string, listener: (this: Downlink, event: DownlinkMessage) => void,
    options?: boolean | EventListenerOptions): void;
  /** Listens no more, as with any EventTarget. */
  removeEventListener(
    type: string, listener: EventListenerOrEventListenerObject, options?: boolean | EventListenerOptions): void;
}
