// What the browser tests share: the client under test, hubs, Chromium, and clients that tell all they hear.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

export const transports = ["websocket", "sse", "long-polling", "short-polling"];

export const clientFile = new URL("../../include/downlink/browser/downlink.js", import.meta.url);
// As a data URL: older versions of Node take a file *.js without a package.json beside it for CommonJS.
export const { Downlink } = await import(`data:text/javascript;base64,${(await readFile(clientFile)).toString("base64")}`);

/** Payloads in a form that a failed comparison shows. */
export const plain = (data) => typeof data === "string" ? data : [...new Uint8Array(data)];

/** Polls until it holds: for what tells nobody when it changes. */
export async function eventually(holds, what = "it never came to be", milliseconds = 20_000) {
  for (const late = Date.now() + milliseconds; ; await new Promise((resolve) => setTimeout(resolve, 5))) {
    const value = await holds();
    if (value) return value;
    assert.ok(Date.now() < late, typeof what === "function" ? what() : what);
  }
}

/** A client with everything that it said, in order, as plain objects. */
export function follow(t, url, options) {
  const client = new Downlink(url, options);
  const heard = [];
  client.dispatchEvent = (event) => {
    const { type, data, lastEventId, error, wait, requested, earliest, transport, previous } = event;
    heard.push(event instanceof MessageEvent ? { id: lastEventId, event: type, data }
      : { type, ...error && { error, wait }, ...requested && { requested, earliest }, ...transport && { transport, previous } });
    return EventTarget.prototype.dispatchEvent.call(client, event);
  };
  t.after(() => client.close());
  const of = (type) => heard.filter((entry) => entry.type === type);
  const messages = () => heard.filter((entry) => "data" in entry);
  const until = (holds) => eventually(holds, () => `waited in vain; heard ${JSON.stringify(heard)}`);
  return { client, heard, of, messages, until, got: (count) => until(() => messages().length >= count),
    opened: (count = 1) => until(() => of("open").length >= count && client.readyState === Downlink.OPEN),
    closed: () => until(() => of("close").length > 0) };
}

export async function startHub(...options) {
  assert.ok(process.env.DOWNLINK_HUB, "DOWNLINK_HUB has to name the hub's binary");
  if (!options.includes("--port")) options.push("--port", "0");
  const child = spawn(process.env.DOWNLINK_HUB, options.map(String), { stdio: ["ignore", "pipe", "inherit"] });
  const line = await Promise.race([
    once(createInterface(child.stdout), "line").then(([first]) => first),
    once(child, "exit").then(([code]) => { throw new Error(`the hub ended with ${code}`); }),
  ]);
  const [, address] = /^listening on (http:\/\/\S+)$/.exec(line) ?? assert.fail(`unexpected first line: ${line}`);
  const stop = async (signal = "SIGTERM") => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  };
  const publish = async (channel, body, event) => {
    const query = event ? `?event=${encodeURIComponent(event)}` : "";
    const answer = await fetch(`${address}/channels/${channel}${query}`, { method: "POST", body,
      headers: { "Content-Type": typeof body === "string" ? "text/plain" : "application/octet-stream" } });
    assert.equal(answer.status, 202);
    return (await answer.json()).id;
  };
  return { child, address, port: Number(new URL(address).port), stop, publish };
}

/** Options of a client that does not wait before it tries again. */
export const soon = { random: () => 0 };
/** The headers of an event stream. */
export const eventStream = { "Content-Type": "text/event-stream" };

export async function startBrowser() {
  const { chromium } = await import("playwright-core");
  const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: quiet });
}
