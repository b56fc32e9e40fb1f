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

/** The ways in which messages may come, best first. */
export type Transport = "websocket" | "sse" | "long-polling" | "short-polling";

/** How to follow a channel. All times are in milliseconds unless said otherwise. */
export interface DownlinkOptions {
  /**
   * One transport, several in the order in which to try them, or `auto` (the default): all that can be used here. With
   * several, one gives way to the next when a server or a proxy does not offer it, when it stays silent, or ends twice
   * soon after opening or three times before it; better ones are tried again later, and what worked is remembered for
   * the session.
   */
  transport?: "auto" | Transport | readonly Transport[];
  /** Id of the last message already seen, or `earliest` or `latest`; the server's default is `latest`. */
  cursor?: string;
  /** Between two short polls (5000). */
  pollInterval?: number;
  /** Seconds for which a long poll asks to be held (25); halved where something on the way ends two in a row. */
  wait?: number;
  /**
   * Silence after which an open connection counts as lost (60000). It has to exceed the server's heartbeat. Browsers
   * hide a WebSocket's pings: a silent one is judged by a poll that asks whether there are messages that have not come,
   * and made anew where no poll is taken.
   */
  timeout?: number;
  /** How long a transport that is not the last may take to open, and what counts as soon after opening (5000). */
  patience?: number;
  /** After which a better transport is tried (60000); the time doubles with each try, four times at most. */
  upgradeAfter?: number;
  /** The token to show, or what gives a fresh one for each connection; then an expired one is no reason to give up. */
  token?: string | (() => string | undefined | Promise<string | undefined>);
  /**
   * Where the token stands: in the query as `access_token` (the default), or in the header `Authorization`, which
   * leaves WebSocket out, as a browser's carries no headers.
   */
  tokenBy?: "query" | "header";
  /** More headers for all requests but WebSocket's. */
  headers?: Record<string, string>;
  /** Whether requests carry cookies (as in `fetch`, by default those of the same origin). */
  credentials?: RequestCredentials;
  /** In place of the global one. */
  fetch?: (url: string, request: RequestInit) => Promise<Response>;
  /** In place of the global one. */
  WebSocket?: new (url: string, protocols: string[]) => WebSocketLike;
  /** Numbers from [0, 1) in place of `Math.random`, for the jitter of waits. */
  random?: () => number;
}

/** As much of a WebSocket as is used. */
export interface WebSocketLike {
  readonly readyState: number;
  binaryType: string;
  send(data: any): void;
  close(): void;
  addEventListener(type: any, listener: (event: any) => void): void;
}

/**
 * A message of the channel, or a direct reply of the server's, whose `lastEventId` is empty. `type` is the message's
 * event, `message` by default; `data` is a string, or an ArrayBuffer where the payload is binary.
 */
export type DownlinkMessage = MessageEvent<string | ArrayBuffer>;

/** The connection was lost or could not be made. `readyState` tells whether it is tried again. */
export interface DownlinkErrorEvent extends Event {
  readonly error: Error & { readonly status?: number; readonly code?: number };
  /** When it is tried again: 0 over the next transport, Infinity when the network is back, nothing after the last. */
  readonly wait?: number;
}

/** It is over: by `close()`, or by the error of a server that would refuse the same again. */
export interface DownlinkCloseEvent extends Event {
  readonly error?: DownlinkErrorEvent["error"];
}

/** Messages after `requested` are no longer retained; it goes on at `earliest`. */
export interface DownlinkGapEvent extends Event {
  readonly requested: string;
  readonly earliest: string;
}

/** Another transport is in use, or the first one. */
export interface DownlinkTransportEvent extends Event {
  readonly transport: Transport;
  readonly previous?: Transport;
}

/**
 * The events whose names are the client's own. Messages with an event of their own come under its name; where that is one
 * of these, they alone are instances of MessageEvent.
 */
export interface DownlinkEventMap {
  /** The server has answered: the first time, and after each loss. */
  open: Event;
  /** A message whose event is the default one; each comes once and in order. */
  message: DownlinkMessage;
  error: DownlinkErrorEvent;
  close: DownlinkCloseEvent;
  gap: DownlinkGapEvent;
  transport: DownlinkTransportEvent;
}

/** What was received so far. `bytes` are of bodies and frame payloads: scripts do not see headers. */
export interface DownlinkStats {
  messages: number;
  bytes: number;
  /** Those of trials and sends too. A WebSocket counts as one. */
  requests: number;
  gaps: number;
  /** How often it opened again, over whatever transport. */
  reconnects: number;
}

/** Follows one channel, from its construction on, with the habits of EventSource. */
export class Downlink extends EventTarget {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSED: 2;

  /** `url` is the channel's, relative to the page. Throws a TypeError for a transport that can't be used here. */
  constructor(url: string | URL, options?: DownlinkOptions);

  /** The channel's, without what requests add. */
  readonly url: string;
  /** `CONNECTING` (also while it waits to try again), `OPEN` or `CLOSED`. */
  readonly readyState: 0 | 1 | 2;
  /** The transport in use, or being tried. */
  readonly transport: Transport;
  /** The cursor. Another Downlink that is given it, over whatever transport, goes on from here. */
  readonly lastEventId: string;
  readonly stats: DownlinkStats;

  onopen?: ((event: Event) => void) | null;
  onmessage?: ((event: DownlinkMessage) => void) | null;
  onerror?: ((event: DownlinkErrorEvent) => void) | null;
  onclose?: ((event: DownlinkCloseEvent) => void) | null;
  ongap?: ((event: DownlinkGapEvent) => void) | null;
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

  addEventListener<K extends keyof DownlinkEventMap>(
    type: K, listener: (this: Downlink, event: DownlinkEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions): void;
  addEventListener(
    type: string, listener: (this: Downlink, event: DownlinkMessage) => void,
    options?: boolean | AddEventListenerOptions): void;
  addEventListener(
    type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof DownlinkEventMap>(
    type: K, listener: (this: Downlink, event: DownlinkEventMap[K]) => void,
    options?: boolean | EventListenerOptions): void;
  removeEventListener(
    type: string, listener: (this: Downlink, event: DownlinkMessage) => void,
    options?: boolean | EventListenerOptions): void;
  removeEventListener(
    type: string, listener: EventListenerOrEventListenerObject, options?: boolean | EventListenerOptions): void;
}
