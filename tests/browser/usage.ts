// What applications write, for the TypeScript compiler to judge downlink.d.ts by (types_test.mjs).
import { Downlink, type DownlinkOptions, type DownlinkMessage, type Transport } from "../../include/downlink/browser/downlink.js";

const options: DownlinkOptions = {
  transport: ["websocket", "sse"], cursor: "earliest", pollInterval: 1000, wait: 20, timeout: 40_000, patience: 3000,
  upgradeAfter: 10_000, token: async () => "fresh", tokenBy: "query", headers: { "X-Tenant": "a" }, credentials: "include",
  fetch, WebSocket, random: () => 0.5,
};
const news = new Downlink(new URL("https://app.example/channels/news"), options);
new Downlink("/channels/news");
new Downlink("/channels/news", { transport: "auto", token: "s3cret", tokenBy: "header" });

news.addEventListener("open", () => {});
news.addEventListener("message", ({ data, lastEventId, origin }) => {
  const text: string = typeof data === "string" ? data : new TextDecoder().decode(data);
  console.log(text, lastEventId, origin);
}, { once: true });
news.addEventListener("price", (event) => {
  const payload: string | ArrayBuffer = event.data;
  console.log(payload);
});
news.addEventListener("error", ({ error, wait }) => console.log(error.message, error.status, error.code, wait?.toFixed()));
news.addEventListener("close", ({ error }) => console.log(error?.message));
news.addEventListener("gap", ({ requested, earliest }) => console.log(requested.length + earliest.length));
news.addEventListener("transport", function ({ transport, previous }) {
  const now: Transport = transport;
  console.log(now, previous, this.transport);
});
news.addEventListener("anything", { handleEvent(event: Event) { console.log(event.type); } });
const listener = (event: DownlinkMessage) => console.log(event.data);
news.addEventListener("price", listener);
news.removeEventListener("price", listener);
news.onmessage = listener;
news.onerror = null;
news.ongap = ({ earliest }) => console.log(earliest);
news.ontransport = news.onopen = news.onclose = () => {};

const answer: Promise<string | undefined> = news.send("text");
news.send(new ArrayBuffer(1));
news.send(new Uint8Array(1));
const { messages, bytes, requests, gaps, reconnects } = news.stats;
const sum: number = messages + bytes + requests + gaps + reconnects;
if (news.readyState === Downlink.OPEN || news.readyState === Downlink.CONNECTING) news.close();
if (news.readyState === Downlink.CLOSED) news.reconnect();
console.log(answer, sum, news.url, news.transport, news.lastEventId);

// @ts-expect-error: no such transport
new Downlink("/", { transport: "carrier-pigeon" });
// @ts-expect-error: no such option
new Downlink("/", { retries: 3 });
// @ts-expect-error: an object is no payload
news.send({ text: "no" });
// @ts-expect-error: only reconnecting and messages move it
news.lastEventId = "e-1";
// @ts-expect-error: there is no such state
if (news.readyState === 3) news.close();
// @ts-expect-error: a gap has no such member
news.addEventListener("gap", ({ lost }) => lost);
