// The hub's demo page in Chromium.
// DOWNLINK_HUB=path/to/hub node --test page_test.mjs
// CHROMIUM names the browser (default /usr/bin/chromium); screenshots go to DOWNLINK_SCREENSHOTS where it is set.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { chromium } from "playwright-core";

const transports = ["websocket", "sse", "long-polling", "short-polling"];
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const screenshots = process.env.DOWNLINK_SCREENSHOTS;

let browser;
let hub;
let origin;
let page;
let complaints;

async function startHub(...options) {
  const child = spawn(process.env.DOWNLINK_HUB, ["--port", "0", ...options], { stdio: ["ignore", "pipe", "inherit"] });
  const line = await Promise.race([
    once(createInterface(child.stdout), "line").then(([first]) => first),
    once(child, "exit").then(([code]) => { throw new Error(`the hub ended with ${code}`); }),
  ]);
  const [, address] = /^listening on (http:\/\/\S+)$/.exec(line) ?? assert.fail(`unexpected first line: ${line}`);
  return { child, address };
}

async function stopHub({ child }) {
  if (child.exitCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  await gone;
}

before(async () => {
  assert.ok(process.env.DOWNLINK_HUB, "DOWNLINK_HUB has to name the hub's binary");
  if (screenshots) mkdirSync(screenshots, { recursive: true });
  hub = await startHub();
  origin = hub.address;
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: quiet });
});

after(async () => {
  await browser?.close();
  if (hub) await stopHub(hub);
});

beforeEach(async () => {
  complaints = [];
  page = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme: "light" });
  page.setDefaultTimeout(20_000);
  page.on("console", (entry) => {
    if (["error", "warning"].includes(entry.type())) complaints.push(entry.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).host !== new URL(origin).host) {
      complaints.push(`a request elsewhere: ${request.url()}`);
    }
  });
});

afterEach(async () => {
  await page.close();
  assert.deepEqual(complaints, []);
});

async function openPage(path = "/") {
  await page.goto(origin + path);
  await allOpen();
}

const card = (transport) => page.locator(`[data-transport="${transport}"]`);
const allOpen = () => page.waitForFunction((names) => names.every((name) =>
  document.querySelector(`[data-transport="${name}"] [data-field="state"]`)?.textContent === "open"), transports);
const ids = (transport) => page.evaluate((name) => window.downlinkDemo.cards[name].ids, transport);
const offset = (id) => Number(id.slice(id.lastIndexOf("-") + 1));
const text = (transport, field) => card(transport).locator(`[data-field="${field}"]`).textContent();
const shot = (name) => screenshots && page.screenshot({ path: join(screenshots, `${name}.png`) });

/** Waits until the card has a message that is `count` or more after the newest of all cards, and gives that one's id. */
async function waitForMore(transport, count) {
  const newest = Math.max(...(await Promise.all(transports.map(ids))).map((list) => offset(list.at(-1) ?? "-0")));
  await page.waitForFunction(([name, least]) => {
    const last = window.downlinkDemo.cards[name].ids.at(-1);
    return last && Number(last.slice(last.lastIndexOf("-") + 1)) >= least;
  }, [transport, newest + count]);
}

function assertContiguous(list, transport) {
  const offsets = list.map(offset);
  assert.deepEqual(offsets, offsets.map((_, index) => offsets[0] + index), `${transport} misses or repeats messages`);
}

test("all four cards open and show the same live messages", async () => {
  await openPage();
  for (const transport of transports) await waitForMore(transport, 3);
  const lists = await Promise.all(transports.map(ids));
  const from = Math.max(...lists.map((list) => offset(list[0])));
  const to = Math.min(...lists.map((list) => offset(list.at(-1))));
  assert.ok(to - from >= 2);
  const [first, ...others] = lists.map((list) => list.filter((id) => offset(id) >= from && offset(id) <= to));
  for (const other of others) assert.deepEqual(other, first);
  lists.forEach((list, index) => assertContiguous(list, transports[index]));
  for (const transport of transports) {
    assert.match(await text(transport, "latency"), /^(< 1|[0-9]+) ms$|^[0-9.]+ s$/);
    assert.match(await text(transport, "bytes"), /^[0-9.]+ k?B$/);
    assert.ok(Number(await text(transport, "messages")) > 0);
    assert.ok(Number(await text(transport, "requests")) > 0);
    assert.equal(await text(transport, "gaps"), "0");
  }
  assert.equal(await text("websocket", "requests"), "1");
  assert.equal(await text("sse", "requests"), "1");
  assert.match(await page.locator('[data-figure="memory"]').textContent(), /^[0-9.]+ of [0-9.]+ [KMGT]iB$/);
  await shot("wide-light");
});

test("a dropped connection resumes without loss", async () => {
  await openPage();
  for (const transport of transports) await waitForMore(transport, 1);
  for (const transport of transports) await card(transport).locator('[data-action="drop"]').click();
  for (const transport of transports) assert.equal(await text(transport, "state"), "retrying");
  await shot("retrying");
  const last = (await ids("websocket")).at(-1);
  await allOpen();
  for (const transport of transports) {
    await waitForMore(transport, 2);
    const list = await ids(transport);
    assertContiguous(list, transport);
    assert.ok(offset(list.at(-1)) > offset(last) + 3);
    assert.equal(await text(transport, "gaps"), "0");
    assert.ok(Number(await text(transport, "resumed")) >= 2, `${transport} had missed messages`);
  }
  await shot("resumed");
});

test("Reconnect does not wait", async () => {
  await openPage();
  await waitForMore("sse", 1);
  await card("sse").locator('[data-action="drop"]').click();
  await card("sse").locator('[data-action="reconnect"]').click();
  await allOpen();
  await waitForMore("sse", 1);
  assertContiguous(await ids("sse"), "sse");
});

test("a note published by keyboard appears in all four cards", async () => {
  await openPage();
  let reached = false;
  for (let presses = 0; presses < 30 && !reached; presses += 1) {
    await page.keyboard.press("Tab");
    reached = await page.evaluate(() => document.activeElement.id === "note");
  }
  assert.ok(reached, "Tab does not reach the box to publish");
  const note = `<b>gr\u00fc\u00df</b> \u{1f680} ${Date.now()}`;
  await page.keyboard.type(note);
  await page.keyboard.press("Enter");
  for (const transport of transports) {
    const item = card(transport).locator('[data-list="notes"] li').filter({ hasText: note });
    await item.waitFor();
    assert.match(await item.textContent(), /(1st|2nd|3rd|4th) · (< 1|[0-9.]+) m?s$/);
  }
  assert.equal(await page.inputValue("#note"), "");
  await shot("note");
});

test("a plain note from elsewhere is shown as it is", async () => {
  await openPage();
  const answer = await fetch(`${origin}/channels/telemetry?event=note`, { method: "POST", body: "12 {not json" });
  assert.equal(answer.status, 202);
  for (const transport of transports) {
    await card(transport).locator('[data-list="notes"] li').filter({ hasText: "12 {not json" }).waitFor();
  }
});

test("no width needs horizontal scrolling", async () => {
  await openPage();
  const assertFits = async () => {
    for (const width of [360, 390, 680, 900, 1190, 1440, 1920]) {
      await page.setViewportSize({ width, height: 844 });
      const excess = await page.evaluate(() => ["html", "[data-transport]", "[data-transport] > header", "[data-machine] dd"]
        .flatMap((selector) => [...document.querySelectorAll(selector)].map((element) =>
          [selector, element.textContent.slice(0, 40), element.scrollWidth - element.clientWidth])));
      for (const [selector, words, wide] of excess) {
        assert.ok(wide <= 0, `${selector} "${words}" is ${wide} px too wide at ${width}`);
      }
    }
  };
  for (const transport of transports) await waitForMore(transport, 1);
  for (const transport of transports) await card(transport).locator('[data-action="drop"]').click();
  await assertFits();
  await allOpen();
  for (const summary of await page.locator("summary").all()) await summary.click();
  await assertFits();
  await page.setViewportSize({ width: 390, height: 844 });
  for (const summary of await page.locator("summary").all()) await summary.click();
  await page.evaluate(() => scrollTo(0, 0));
  await shot("narrow-light");
  await page.emulateMedia({ colorScheme: "dark" });
  await waitForMore("websocket", 1);
  await shot("narrow-dark");
  await page.setViewportSize({ width: 1440, height: 900 });
  await waitForMore("websocket", 1);
  await shot("wide-dark");
});

test("the page's token opens a guarded hub", async () => {
  const guarded = await startHub("--token", "s3cret&more");
  const usual = origin;
  origin = guarded.address;
  try {
    await openPage(`/?token=${encodeURIComponent("s3cret&more")}`);
    await page.fill("#note", "with a token");
    await page.keyboard.press("Enter");
    for (const transport of transports) {
      await card(transport).locator('[data-list="notes"] li').filter({ hasText: "with a token" }).waitFor();
    }
  } finally {
    // First the page: it would rightly complain of a hub that has gone.
    await page.close();
    origin = usual;
    await stopHub(guarded);
  }
});
