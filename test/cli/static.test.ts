import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { findFreePort } from "../../dev/ports.ts";
import { systemRandom } from "../../kernel/random.ts";
import type { Etcd, KeyValue } from "../../registrar/etcd/port.ts";
import { connect, entriesBelow, send } from "../agent/registrar.ts";
import { bareEnvironment } from "../support/bare-environment.ts";
import { PROJECT_DIR } from "../support/dev.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

let folder: string;
let etcd: TestEtcd;
let proxy: Awaited<ReturnType<typeof startProxy>>;
let root: Etcd;
let child: ChildProcess;
let url: string;
let log = "";

// One registrar for all: what one test leaves in the file is where the next begins.
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "fingerpost-static-"));
  etcd = await startTestEtcd();
  proxy = await startProxy(etcd.port);
  await proxy.refuse(true);
  root = connect(etcd, "root");
  const port = await findFreePort(systemRandom);
  url = `http://127.0.0.1:${port}`;
  write(table("a", 1), table("b", 2));
  launch(port);
});
afterAll(async () => {
  // Whatever state a failed test has left it in.
  await end("SIGKILL");
  await root.close();
  await proxy.close();
  await etcd.close();
  rmSync(folder, { recursive: true });
});

function launch(port: number): void {
  child = spawn(process.execPath, [join(PROJECT_DIR, "cli/main.ts"), "registrar", "--listen", `127.0.0.1:${port}`], {
    cwd: folder,
    env: {
      ...bareEnvironment(),
      FINGERPOST_STATE_DIR: join(folder, "state"),
      FINGERPOST_ETCD_ENDPOINTS: `http://127.0.0.1:${proxy.port}`,
      FINGERPOST_ETCD_USERNAME: etcd.user.username,
      FINGERPOST_ETCD_PASSWORD: etcd.user.password,
    },
    stdio: ["ignore", "inherit", "pipe"],
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (log += text));
}

async function end(signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

const table = (id: string, port: number) =>
  `[[registrar.services]]\nservice = "web"\nid = "${id}"\naddress = "10.0.0.1"\nport = ${port}\n`;

function write(...parts: readonly string[]): void {
  const settings = 'log_level = "info"\n[registrar]\nrole = "agent"\nlease_ttl_seconds = 5\n';
  writeFileSync(join(folder, "fingerpost.toml"), `${settings}${parts.join("\n")}`);
}

/** Writes the file, and waits until the registrar says what it made of it. */
async function reload(says: string, ...parts: readonly string[]): Promise<string> {
  write(...parts);
  log = "";
  child.kill("SIGHUP");
  await until(`it says: ${says}`, () => log.includes(says));
  return log;
}

async function entries(): Promise<Readonly<Record<string, KeyValue>>> {
  const found = await entriesBelow(root, "/fingerpost/default/");
  return Object.fromEntries(found.map((entry) => [entry.key.slice("/fingerpost/default/web/".length), entry]));
}

it("what the file registers is in etcd once etcd is there, though it was away at the start", async () => {
  await until("it listens", async () => (await send(url, { path: "/healthz" })).status === 200);
  expect((await send(url, { path: "/v1/status" })).body).toMatchObject({ services: { registrations: 2, pending: 2 } });
  await proxy.refuse(false);
  await until("both are registered", async () => Object.keys(await entries()).join() === "a,b");
  await until("it knows that they are", async () => {
    const { body } = await send(url, { path: "/v1/instances" });
    expect(body.instances).toMatchObject([
      { source: "file", liveness: { type: "none" } },
      { source: "file", liveness: { type: "none" } },
    ]);
    return true;
  });
});

it("SIGHUP applies the difference, and writes nothing for what has not changed", async () => {
  const before = await entries();
  await reload("was read again", table("a", 1), table("b", 22), table("c", 3));
  await until("c is registered", async () => (await entries())["c"]);
  const after = await until("b is replaced", async () => {
    const now = await entries();
    return now["b"]?.value.includes('"port":22') && now;
  });
  expect(after["a"]?.modRevision).toBe(before["a"]?.modRevision);
  await reload("was read again", table("a", 1), table("c", 3));
  await until("b is gone", async () => Object.keys(await entries()).join() === "a,c");
  expect((await entries())["a"]?.modRevision).toBe(before["a"]?.modRevision);
  expect((await entries())["c"]?.modRevision).toBe(after["c"]?.modRevision);
});

it("SIGHUP with a file that is not valid changes nothing, and says what is wrong and where", async () => {
  const { revision } = await root.get("/");
  const said = await reload("changes nothing", table("a", 0), table("c", 4), '[etcd]\nsecret = "hunter2"\n');
  expect(said).toContain("etcd.secret in the file: is not a known setting");
  expect(said).not.toContain("hunter2");
  const saidOfTable = await reload("changes nothing", table("a", 0), table("c", 4));
  expect(saidOfTable).toContain("registrar.services[0] (web/a) in the file, port: must be 1 to 65535");
  expect(await reload("changes nothing", "[[registrar.services")).toContain("is not TOML");
  rmSync(join(folder, "fingerpost.toml"));
  log = "";
  child.kill("SIGHUP");
  await until("it says that the file is missing", () => log.includes("changes nothing"));
  expect(log).toContain("fingerpost.toml: ENOENT");
  expect((await root.get("/")).revision).toBe(revision);
});

it("SIGHUP tells which other settings need a restart, and still applies the registrations", async () => {
  const said = await reload("was read again", table("a", 1), table("d", 4), '[etcd]\nendpoints = ["http://x:1"]\n');
  // The environment goes before the file, so what the file says of the endpoints changes nothing.
  expect(said).not.toContain("need a restart");
  write();
  const file = join(folder, "fingerpost.toml");
  writeFileSync(file, `namespace = "other"\n[registrar]\nrole = "agent"\nlease_ttl_seconds = 31\n${table("d", 4)}`);
  log = "";
  child.kill("SIGHUP");
  await until("it has read it", () => log.includes("was read again"));
  expect(log).toContain('"settings":["namespace","registrar.lease_ttl_seconds"]');
  // In the namespace that is in force.
  await until("d alone is left", async () => Object.keys(await entries()).join() === "d");
});

it("the API neither changes nor removes what the file registers", async () => {
  const path = "/v1/services/web/instances/d";
  const before = await entries();
  for (const call of [
    { method: "PUT", path, body: { address: "10.0.0.9", port: 9 } },
    { method: "DELETE", path },
    { method: "POST", path: `${path}/drain` },
  ]) {
    const { status, body } = await send(url, call);
    expect(status).toBe(409);
    expect(body.detail).toContain("configuration file");
  }
  expect(await entries()).toEqual(before);
});

it("what the file lost while the registrar was dead is deregistered at its next start, and the rest is not written", async () => {
  await reload("was read again", table("d", 4), table("e", 5));
  const before = await until("both are there", async () => {
    const now = await entries();
    return now["d"] && now["e"] && now;
  });
  await end("SIGKILL");
  write(table("d", 4));
  launch(Number(new URL(url).port));
  await until("d alone is left", async () => Object.keys(await entries()).join() === "d");
  await until("nothing is pending", async () => {
    const { body } = await send(url, { path: "/v1/status" });
    expect(body).toMatchObject({ services: { registrations: 1, pending: 0 } });
    return true;
  });
  expect((await entries())["d"]).toEqual(before["d"]);
});
