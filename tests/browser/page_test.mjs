// The hub's demo page in Chromium.
// DOWNLINK_HUB=path/to/hub node --test page_test.mjs
// CHROMIUM names the browser (default /usr/bin/chromium); screenshots go to DOWNLINK_SCREENSHOTS where it is set.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { eventually, startBrowser, startHub, transports } from "./support.mjs";

const screenshots = process.env.DOWNLINK_SCREENSHOTS;

let browser;
let hub;
let origin;
let page;
let complaints;

before(async () => {
  if (screenshots) mkdirSync(screenshots, { recursive: true });
  hub = await startHub();
  origin = hub.address;
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await hub?.stop();
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
const happened = (words) => page.getByRole("log", { name: "What happened last" }).getByRole("listitem").filter({ hasText: words });
/** What the browser says by itself of a server that refuses or is away. */
const excuse = (pattern) => { complaints = complaints.filter((words) => !pattern.test(words)); };
const text = (transport, field) => card(transport).locator(`[data-field="${field}"]`).textContent();
const shot = async (name, part) => {
  if (!screenshots) return;
  const path = join(screenshots, `${name}.png`);
  if (!part) return page.screenshot({ path });
  // As the note's bar would stand before it.
  await page.addStyleTag({ content: ".publish { position: static !important }" });
  await page.locator(part).screenshot({ path });
};

/** From now on the states that each card shows are kept, in order. */
const keepStates = () => page.addInitScript(() => {
  window.shown = {};
  new MutationObserver(() => {
    for (const element of document.querySelectorAll("[data-transport]")) {
      const states = window.shown[element.dataset.transport] ??= [];
      const state = element.querySelector('[data-field="state"]').textContent;
      if (states.at(-1) !== state) states.push(state);
    }
  }).observe(document, { subtree: true, childList: true, characterData: true });
});
const statesOf = (transport) => page.evaluate((name) => window.shown[name], transport);

/** By trace: how many of the columns of the card's chart it reaches over. The grid has another colour. */
const drawn = (transport) => card(transport).locator("canvas").evaluate((canvas) => {
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["cpu", "memory"].map((trace) => {
    const colour = style.getPropertyValue(`--${trace}`).match(/[0-9a-f]{2}/g).map((part) => parseInt(part, 16));
    const columns = new Set();
    for (let at = 0; at < data.length; at += 4) {
      const away = colour.reduce((sum, value, part) => sum + Math.abs(value - data[at + part]), 0);
      if (away < 60 && data[at + 3] > 200) columns.add(at / 4 % width);
    }
    return [trace, columns.size];
  }));
});

/** Opens the page on a hub whose only figures are those that the test publishes: a moment and `figures`. */
async function withFigures(figures, run) {
  const usual = origin;
  const silent = await startHub("--telemetry", "off");
  origin = silent.address;
  try {
    await openPage();
    await run(() => silent.publish("telemetry", JSON.stringify({ t: Date.now(), ...figures }), "telemetry"));
  } finally {
    await page.close();
    origin = usual;
    await silent.stop();
  }
}

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

/** Messages that the client which chooses by itself has got. */
const got = () => page.evaluate(() => window.downlinkDemo.ladder.client.stats.messages);

async function assertNothingMissing(whenGot) {
  await page.waitForFunction((least) => window.downlinkDemo.ladder.client.stats.messages >= least, whenGot);
  assert.match(await page.locator("[data-tally]").textContent(), / 0 missing, 0 twice\.$/);
}

async function assertFits() {
  for (const width of [360, 390, 680, 900, 1190, 1440, 1920]) {
    await page.setViewportSize({ width, height: 844 });
    const excess = await page.evaluate(() => ["html", "main .panel", "[data-answer]", "[data-transport]",
      "[data-transport] > header", "[data-machine] dd"].flatMap((selector) => [...document.querySelectorAll(selector)].map((element) =>
        [selector, element.textContent.slice(0, 40), element.scrollWidth - element.clientWidth])));
    for (const [selector, words, wide] of excess) {
      assert.ok(wide <= 0, `${selector} "${words}" is ${wide} px too wide at ${width}`);
    }
  }
}

test("all four cards open and show the same live messages", async () => {
  await openPage();
  await Promise.all(transports.map((transport) => waitForMore(transport, 3)));
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
  for (const measure of ["latency", "requests", "overhead"]) {
    for (const transport of transports) {
      const figure = page.locator(`[data-measure="${measure}"] [data-of="${transport}"]`);
      await page.waitForFunction((element) => /[0-9]/.test(element.textContent), await figure.elementHandle());
    }
  }
  await shot("live");
});

test("each card says that it connects before it is open", async () => {
  await keepStates();
  await openPage();
  for (const transport of transports) {
    const [first, ...later] = await statesOf(transport);
    assert.equal(first, "connecting", transport);
    assert.equal(later.at(-1), "open", transport);
  }
});

test("each card draws what comes over its transport", async () => {
  const whole = { cpu: [30], cpu_total: 30, memory: { used: 70, total: 100 }, load: [0.5, 0.25, 0], disk: { read: 0, written: 0 },
    network: { received: 0, sent: 0 }, subscribers: 4 };
  await withFigures(whole, async (publish) => {
    for (const transport of transports) assert.deepEqual(await drawn(transport), { cpu: 0, memory: 0 }, transport);
    await publish();
    // Two that are a second apart are a line over a sixtieth of the chart.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await publish();
    for (const transport of transports) {
      let now;
      await eventually(async () => {
        now = await drawn(transport);
        return now.cpu >= 4 && now.memory >= 4;
      }, () => `${transport}: ${JSON.stringify(now)}`);
    }
  });
});

test("what the machine does not tell is left out", async () => {
  const none = { cpu: null, cpu_total: null, memory: null, load: null, network: null, disk: null, subscribers: 4 };
  await withFigures(none, async (publish) => {
    await publish();
    for (const transport of transports) await waitForMore(transport, 0);
    for (const figure of ["cpu", "memory", "load", "network", "disk"]) {
      assert.equal(await page.locator(`[data-figure="${figure}"]`).textContent(), "–", figure);
    }
    assert.equal(await page.locator('[data-figure="subscribers"]').textContent(), "4");
    for (const transport of transports) assert.equal((await drawn(transport)).memory, 0, transport);
  });
});

test("a dropped connection resumes without loss", async () => {
  await openPage();
  await Promise.all(transports.map((transport) => waitForMore(transport, 1)));
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
    assert.match(await page.locator(`[data-measure="recovery"] [data-of="${transport}"]`).textContent(), / m?s$/);
  }
  await shot("resumed");
});

test("an outage that ends by itself leaves the focus in its card, and is told of for each card", async () => {
  await openPage();
  for (const transport of transports) await waitForMore(transport, 1);
  for (const transport of transports) await card(transport).locator('[data-action="drop"]').click();
  await card("sse").locator('[data-action="reconnect"]').focus();
  await allOpen();
  assert.ok(await card("sse").locator('[data-action="drop"]').evaluate((button) => button === document.activeElement));
  const said = page.locator("[data-announcer]");
  await page.waitForFunction((element) => element.textContent.match(/open again/g)?.length === 4, await said.elementHandle());
});

test("Reconnect does not wait", async () => {
  await keepStates();
  await openPage();
  await waitForMore("sse", 1);
  await card("sse").locator('[data-action="drop"]').click();
  await card("sse").locator('[data-action="reconnect"]').click();
  await allOpen();
  assert.deepEqual((await statesOf("sse")).slice(-3), ["retrying", "connecting", "open"]);
  await waitForMore("sse", 1);
  assertContiguous(await ids("sse"), "sse");
});

test("a note published by keyboard appears in all four cards", async () => {
  await openPage();
  let reached = false;
  for (let presses = 0; presses < 60 && !reached; presses += 1) {
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
  await hub.publish("telemetry", "12 {not json", "note");
  for (const transport of transports) {
    await card(transport).locator('[data-list="notes"] li').filter({ hasText: "12 {not json" }).waitFor();
  }
});

test("no width needs horizontal scrolling", async () => {
  await openPage();
  await Promise.all(transports.map((transport) => waitForMore(transport, 1)));
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
  await shot("narrow");
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
    await guarded.stop();
  }
});

test("the client that chooses by itself goes down the ladder and up again, and misses nothing", async () => {
  await openPage();
  const inUse = (rung) => page.locator(`[data-rung="${rung}"][aria-current]`).waitFor();
  const obstacle = (name) => page.locator(`[data-obstacles] [name="${name}"]`);
  await inUse("websocket");
  for (const [name, rung] of [["upgrade", "sse"], ["buffering", "long-polling"], ["holding", "short-polling"]]) {
    await obstacle(name).check();
    await inUse(rung);
  }
  await shot("fail", "#fail");
  for (const name of ["upgrade", "buffering", "holding"]) await obstacle(name).uncheck();
  await inUse("websocket");
  await obstacle("away").check();
  await page.locator('[data-rung="websocket"].trying').waitFor();
  await obstacle("away").uncheck();
  await inUse("websocket");
  await assertNothingMissing(await got() + 1);
});

test("messages of any event count, and none is taken for an event of the client's", async () => {
  await openPage();
  await assertNothingMissing(1);
  const before = await got();
  const events = ["other", "error", "open", "close", "gap", "transport"];
  for (const event of events) await hub.publish("telemetry", "a message", event);
  await assertNothingMissing(before + events.length + 1);
  await Promise.all(transports.map((transport) => waitForMore(transport, 1)));
  for (const transport of transports) {
    assertContiguous(await ids(transport), transport);
    assert.equal(await text(transport, "state"), "open");
  }
  assert.equal(await happened(/undefined|lost|next transport|tried again|closed|gap/).count(), 0);
});

test("without a network it says what it waits for", async () => {
  await openPage();
  await page.evaluate(() => dispatchEvent(new Event("offline")));
  for (const transport of transports) assert.equal(await text(transport, "countdown"), "when the network is back");
  await happened("lost, again when the network is back").waitFor();
  await assertFits();
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await allOpen();
});

test("a page whose clock is ahead by more than its charts show goes on", async () => {
  await page.addInitScript(() => {
    const now = Date.now;
    Date.now = () => now() + 90_000;
  });
  await openPage();
  await Promise.all(transports.map((transport) => waitForMore(transport, 1)));
});

test("a wrong token is told, and ends the client that chooses by itself", async () => {
  const guarded = await startHub("--token", "right");
  const usual = origin;
  origin = guarded.address;
  try {
    await page.goto(`${origin}/?token=wrong`);
    await happened("not tried again: the server answered 401").waitFor();
    assert.equal(await page.locator(".trying, [data-rung][aria-current]").count(), 0);
    assert.equal(await page.evaluate(() => window.downlinkDemo.ladder.client.readyState), 2);
    const problem = (transport) => card(transport).locator('[data-field="problem"]');
    await problem("websocket").filter({ hasText: "the handshake failed" }).waitFor();
    for (const transport of transports.slice(1)) {
      await problem(transport).filter({ hasText: "Not tried again: the server answered 401" }).waitFor();
      assert.equal(await text(transport, "state"), "closed");
    }
  } finally {
    await page.close();
    origin = usual;
    await guarded.stop();
  }
  excuse(/ 401 |WebSocket connection to .* failed/);
});

test("a hub that was started again begins a new account", async () => {
  let restarted = await startHub();
  const usual = origin;
  origin = restarted.address;
  try {
    await openPage();
    await assertNothingMissing(2);
    await restarted.stop("SIGKILL");
    restarted = await startHub("--port", restarted.port);
    await happened(/ a gap: /).waitFor();
    await assertNothingMissing(await got() + 2);
  } finally {
    await page.close();
    origin = usual;
    await restarted.stop();
  }
  excuse(/ERR_|WebSocket connection to .* failed/);
});

test("questions answered by keyboard lead to a transport and its program", async () => {
  await openPage();
  const title = page.locator('[data-answer="title"]');
  const server = page.locator('[data-answer="server"]');
  assert.equal(await title.textContent(), "SSE");
  await page.locator('[name="direction"]').first().focus();
  await page.keyboard.press("ArrowRight");
  assert.match(await server.textContent(), /on_message/);
  await page.keyboard.press("ArrowRight");
  assert.equal(await title.textContent(), "WebSocket");
  await page.locator('[name="proxies"][value="unknown"]').check();
  assert.equal(await title.textContent(), "WebSocket, else SSE, else long polling");
  assert.match(await server.textContent(), /Server<downlink::WebSocket, downlink::Sse, downlink::LongPolling>/);
  await shot("choose", "#choose");
});

test("what cannot be copied is selected, and the button says so", async () => {
  // As on a host without TLS.
  await page.addInitScript(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
  await openPage();
  // In one turn, as the button does not say it for long.
  const said = await page.locator('[data-copy="client"]').evaluate(async (button) => {
    button.click();
    await new Promise((resolve) => setTimeout(resolve));
    return button.textContent;
  });
  assert.equal(said, "Selected, not copied");
  assert.match(await page.locator("[data-announcer]").textContent(), /Selected, not copied\. $/);
  assert.match(await page.evaluate(() => String(getSelection())), /^import .*new Downlink/s);
});

test("the links of the page's head are easy to hit", async () => {
  await openPage();
  for (const link of await page.locator(".top nav a").all()) assert.ok((await link.boundingBox()).height >= 24);
});

test("every program that the page can show compiles", async () => {
  await openPage();
  const answers = await page.evaluate(() => window.downlinkDemo.everyAnswer());
  assert.equal(answers.length, 3 * 2 ** 5);
  for (const { reasons, title } of answers) assert.ok(title && reasons.length > 0);
  const offered = (wanted) => answers.filter(({ answers: given }) =>
    Object.entries(wanted).every(([name, value]) => given[name] === value)).map(({ transports: list }) => list);
  const best = (wanted) => offered(wanted).map(([first]) => first);
  const all = (list, name) => assert.deepEqual([...new Set(list)], [name]);
  all(best({ direction: "both" }), "websocket");
  all(best({ direction: "down", rate: "rarely" }), "short-polling");
  all(best({ direction: "down", rate: "now", binary: "text", tabs: "few" }), "sse");
  all(best({ direction: "requests", rate: "now", binary: "text", tabs: "many", http2: "yes" }), "sse");
  const crowded = { direction: "down", rate: "now", binary: "text", tabs: "many", http2: "no" };
  all(best(crowded), "websocket");
  // A held poll takes one of the browser's connections, as a stream does.
  for (const list of offered(crowded)) assert.ok(!list.includes("sse") && !list.includes("long-polling"));

  // Each a namespace of one unit, so that the library is compiled but once.
  const programs = [...new Set(answers.map(({ server }) => server))];
  const unit = programs.map((program, index) => {
    const [include, ...rest] = program.split("\n");
    assert.equal(include, "#include <downlink/downlink.hpp>");
    return `namespace program_${index} {\n${rest.join("\n")}}\n`;
  }).join("\n");
  const { DOWNLINK_CXX: compiler, DOWNLINK_CXX_FLAGS: flags } = process.env;
  assert.ok(compiler && flags, "DOWNLINK_CXX and DOWNLINK_CXX_FLAGS have to say how to compile");
  const { status, stderr } = spawnSync(compiler,
    [...flags.split(" "), "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c++", "-"],
    { input: `#include <downlink/downlink.hpp>\n${unit.replaceAll("int main()", "void run()")}`, encoding: "utf8" });
  assert.equal(status, 0, stderr);
});
