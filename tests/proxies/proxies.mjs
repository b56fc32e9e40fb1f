// nginx, HAProxy and Caddy, each started on a free port with the README's own lines.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../browser/support.mjs";

const root = process.env.DOWNLINK_SOURCE_DIR ?? new URL("../..", import.meta.url).pathname;
const readme = await readFile(join(root, "README.md"), "utf8");

/** The README's lines for a proxy, with the addresses of this run. */
function lines(language, from, to) {
  const [, text] = new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, "m").exec(readme) ?? [];
  assert.ok(text, `the README has no lines for ${language}`);
  assert.ok(text.includes("127.0.0.1:8080"));
  let replaced = text.replaceAll("127.0.0.1:8080", to);
  for (const [before, after] of Object.entries(from)) {
    assert.ok(replaced.includes(before), `${language} without "${before}"`);
    replaced = replaced.replaceAll(before, after);
  }
  return replaced;
}

const nginx = (folder, port, locations, timeout) => ({
  command: ["nginx", "-p", folder, "-e", "stderr", "-c", join(folder, "config")],
  config: `daemon off;
pid ${folder}/pid;
error_log stderr error;
${process.getuid() === 0 ? "user root;" : ""}
events {}
http {
  access_log off;
${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `  ${name}_temp_path ${folder}/${name};`).join("\n")}
  server {
    listen 127.0.0.1:${port};
    proxy_read_timeout ${timeout ?? 60}s;
    proxy_send_timeout ${timeout ?? 60}s;
    ${locations}
  }
}
`,
});

const haproxy = (folder, port, to, timeout, more = "") => ({
  command: ["haproxy", "-db", "-f", join(folder, "config")],
  config: lines("haproxy", { "bind :80": `bind 127.0.0.1:${port}`, ...timeout &&
    { "client 60s": `client ${timeout}s`, "server 60s": `server ${timeout}s`, "tunnel 1h": `tunnel ${timeout}s` } },
    `${to}${more}`),
});

/** By name: what command and configuration it takes to pass requests on to `to`, with time-outs of so many seconds. */
export const kinds = {
  // As somebody writes it who has never heard of long-lived answers: HTTP/1.0 to the server, and buffering.
  "nginx as it comes": (folder, port, to, timeout) =>
    nginx(folder, port, `location / { proxy_pass http://${to}; }`, timeout),
  "nginx with the README's lines": (folder, port, to, timeout) =>
    nginx(folder, port, lines("nginx", { "/channels/": "/" }, to), timeout),
  "HAProxy": (folder, port, to, timeout) => haproxy(folder, port, to, timeout),
  "HAProxy with the PROXY protocol": (folder, port, to, timeout) => haproxy(folder, port, to, timeout, " send-proxy-v2"),
  // By itself it has no time-outs for what is silent.
  "Caddy": (folder, port, to, timeout) => ({
    command: ["caddy", "run", "--adapter", "caddyfile", "--config", join(folder, "config")],
    config: "{\n  admin off\n}\n" + lines("caddyfile", { "http://example.com": `http://127.0.0.1:${port}` }, timeout
      ? `${to} {\n    transport http {\n      read_timeout ${timeout}s\n      write_timeout ${timeout}s\n    }\n  }` : to),
  }),
};

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

const answers = (port) => new Promise((resolve) => {
  const socket = net.connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
  socket.on("close", () => resolve(false)).on("connect", () => socket.destroy());
});

/** Starts a proxy of that kind in front of `to`, for as long as the test lasts, and gives its address. */
export async function startProxy(t, kind, to, timeout) {
  // Another program may take a port between its being found and being used.
  for (let attempt = 1; ; attempt += 1) {
    const folder = await mkdtemp(join(tmpdir(), "downlink-proxy-"));
    const port = await freePort();
    const { command: [program, ...given], config } = kinds[kind](folder, port, to, timeout);
    await writeFile(join(folder, "config"), config);
    const child = spawn(program, given, { cwd: folder, stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin`, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder } });
    let said = "";
    for (const output of [child.stdout, child.stderr]) output.on("data", (text) => { said += text; });
    const gone = once(child, "exit");
    gone.catch(() => {});
    await eventually(async () => child.exitCode !== null || await answers(port), () => `${kind} does not start: ${said}`);
    if (child.exitCode !== null) {
      await rm(folder, { recursive: true, force: true });
      assert.ok(attempt < 3, `${kind} ended: ${said}`);
      continue;
    }
    t.after(async () => {
      // nginx has processes of its own to end; the others would wait for streams.
      child.kill(program === "nginx" ? "SIGTERM" : "SIGKILL");
      await gone;
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    });
    return `http://127.0.0.1:${port}`;
  }
}
