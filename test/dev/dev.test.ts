import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { ServiceAnswer, ServicesAnswer } from "../../contract/http.ts";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { cacheDirOf } from "../../dev/binaries.ts";
import { launchTestDev, PROJECT_DIR, startTestDev, type TestDev } from "../support/dev.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { descendantsOf, stillRunning, type ProcessIdentity } from "../support/processes.ts";
import { until } from "../support/until.ts";

const run = promisify(execFile);

/** As people start it. */
const NPM = ["npm", "run", "--silent", "dev", "--", "--json"] as const;
const WAITS_FOR_ETCD = /^the registrar is not ready yet: .*etcd.*$/m;

async function isListening(url: string): Promise<boolean> {
  try {
    await fetch(url, { signal: AbortSignal.timeout(1000) });
    return true;
  } catch {
    return false;
  }
}

async function listening({ report }: TestDev): Promise<readonly string[]> {
  const urls = [report.resolver, report.registrar, report.gateway, report.etcd];
  const answers = await Promise.all(urls.map(isListening));
  return urls.filter((_, index) => answers[index]);
}

function runDirs(): readonly string[] {
  const parent = join(cacheDirOf(process.env), "dev");
  return existsSync(parent) ? readdirSync(parent) : [];
}

/** Those of these processes: other tests run dev at the same time. */
function runDirsOf(processes: readonly ProcessIdentity[]): readonly string[] {
  const pids = new Set(processes.map(({ pid }) => String(pid)));
  return runDirs().filter((name) => pids.has(name));
}

describe("dev", () => {
  let taken: Server;
  let temporary: string;
  let dev: TestDev;
  beforeAll(async () => {
    temporary = mkdtempSync(join(tmpdir(), "fingerpost-dev-"));
    taken = createServer();
    // Whoever else has the port makes the point as well.
    taken.on("error", () => undefined);
    taken.listen({ host: "127.0.0.1", port: 8787 });
    dev = await startTestDev({ demo: true, env: { TMPDIR: temporary } });
  }, 120_000);
  afterAll(async () => {
    await dev.close();
    taken.close();
    rmSync(temporary, { recursive: true });
  });

  it("says on standard output one line, of the agreed shape, and nothing else", async () => {
    expect(dev.stdout().trimEnd().split("\n")).toHaveLength(1);
    const url = expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/);
    const secret = expect.stringMatching(/^\S{16,}$/);
    const pid = expect.any(Number);
    expect(dev.report).toEqual({
      resolver: url,
      registrar: url,
      gateway: url,
      etcd: url,
      redis: expect.stringMatching(/^redis:\/\/admin:\S+@127\.0\.0\.1:\d+$/),
      tokens: { resolver: secret, registrar: secret, gateway: secret, gatewayReadOnly: secret },
      etcdRoot: { username: "root", password: secret },
      pids: { etcd: pid, redis: pid, gateway: pid, registrar: pid, resolver: pid },
    });
    expect(new Set(Object.values(dev.report.pids)).size).toBe(5);
  });

  it("names a port that is taken, and uses another one", () => {
    expect(dev.stderr()).toMatch(/^port 8787 is taken: the resolver uses \d+ instead$/m);
    expect(new URL(dev.report.resolver).port).not.toBe("8787");
  });

  it("has every demo instance at the edge when it says that it is ready", async () => {
    const response = await dev.resolver("/v1/services/web");
    const { instances } = (await response.json()) as ServiceAnswer;
    expect(instances.map(({ id }) => id)).toEqual(["web-1", "web-2", "web-3"]);
  });

  it("signs what it stores, and what its resolver answers is that", async () => {
    const response = await fetch(dev.report.gateway, {
      method: "POST",
      headers: { authorization: `Bearer ${dev.report.tokens.gatewayReadOnly}` },
      body: JSON.stringify(["MGET", headKey("default"), serviceKey("default", "web")]),
    });
    const { result } = (await response.json()) as { result: string[] };
    for (const text of result) expect(text).toMatch(/^signed:1 /);
    expect((await dev.resolver("/v1/services/web")).status).toBe(200);
  });

  it("counts every demo instance in the list of services when it says that it is ready", async () => {
    const response = await dev.resolver("/v1/services");
    const { services } = (await response.json()) as ServicesAnswer;
    const counts = Object.fromEntries(services.map(({ name, instances }) => [name, instances]));
    expect(counts).toMatchObject({ web: 3, api: 2 });
  });

  it("shows commands that work when pasted, and no part that is killed takes the answers along", async () => {
    const screen = dev.stderr().slice(dev.stderr().indexOf("Everything runs"));
    const commands = [...screen.matchAll(/^ {4}(.+)$/gm)].map((match) => match[1] ?? "");
    expect(commands.length).toBeGreaterThan(8);
    for (const command of commands) {
      const { stdout } = await run("bash", ["-c", command], {
        cwd: PROJECT_DIR,
        env: { ...process.env, ...dev.environment },
      });
      const sign = { curl: /^HTTP\/1.1 200/, npm: /web/ }[command.split(" ")[0] ?? ""] ?? /^$/;
      expect(stdout).toMatch(sign);
    }
    expect(dev.stderr()).toMatch(/^etcd \(pid \d+\) was ended by SIGKILL; it is started again in 15 s$/m);
  });

  it("ends on SIGTERM with 0, and leaves no process, no port, no folder", async () => {
    const processes = descendantsOf(dev.child.pid ?? 0);
    // Gateway, registrar, resolver, workerd and six instances; those that were killed are yet to be started again.
    expect(processes.length).toBeGreaterThanOrEqual(10);
    const exited = once(dev.child, "exit");
    dev.child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    expect(stillRunning(processes)).toEqual([]);
    expect(await listening(dev)).toEqual([]);
    expect(runDirs()).not.toContain(String(dev.child.pid));
    expect(readdirSync(temporary)).toEqual([]);
  });
});

describe("dev through npm", () => {
  it.each(["SIGINT", "SIGTERM"] as const)(
    "ends with 0 on a %s that npm alone gets, and npm ends last",
    async (signal) => {
      const dev = await startTestDev({ command: NPM });
      const processes = descendantsOf(dev.child.pid ?? 0);
      // dev itself, etcd, Redis, gateway, registrar, resolver and workerd.
      expect(processes.length).toBeGreaterThanOrEqual(7);
      const exited = once(dev.child, "exit");
      dev.child.kill(signal);
      expect(await exited).toEqual([0, null]);
      expect(stillRunning(processes)).toEqual([]);
      expect(await listening(dev)).toEqual([]);
      expect(runDirsOf(processes)).toEqual([]);
    },
    90_000,
  );
});

describe("dev that is killed, or left alone", () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });

  it("leaves no process a few seconds after kill -9, and the next run clears its folder away", async () => {
    const dev = await startTestDev();
    const processes = descendantsOf(dev.child.pid ?? 0);
    expect(processes.length).toBeGreaterThanOrEqual(6);
    dev.child.kill("SIGKILL");
    await until("nothing is left", () => stillRunning(processes).length === 0, { timeoutMs: 5000 });
    expect(runDirs()).toContain(String(dev.child.pid));

    const etcd = await startTestEtcd();
    try {
      const next = await startTestDev({
        env: {
          FINGERPOST_ETCD_ENDPOINTS: etcd.endpoint,
          FINGERPOST_ETCD_USERNAME: etcd.user.username,
          FINGERPOST_ETCD_PASSWORD: etcd.user.password,
        },
      });
      expect(next.report).toMatchObject({ etcd: etcd.endpoint, etcdRoot: null, pids: { etcd: null } });
      expect(runDirs()).not.toContain(String(dev.child.pid));
      expect(await next.close()).toBe(0);
    } finally {
      await etcd.close();
    }
  }, 90_000);

  it.each([
    ["npm", NPM],
    // The shell does something after npm, so that it stays, as a test suite does that started it.
    ["the process that started npm", ["sh", "-c", `${NPM.join(" ")} "$@"; exit 7`, "sh"]],
  ] as const)(
    "ends when %s is killed",
    async (_, command) => {
      const dev = await startTestDev({ command });
      const processes = descendantsOf(dev.child.pid ?? 0);
      dev.child.kill("SIGKILL");
      await until("nothing is left", () => stillRunning(processes).length === 0);
      expect(runDirsOf(processes)).toEqual([]);
    },
    60_000,
  );

  it("says within seconds what it waits for when an etcd of someone else's does not answer, and can be ended", async () => {
    const blackHole = createServer();
    blackHole.listen({ host: "127.0.0.1", port: 0 });
    await once(blackHole, "listening");
    const { port } = blackHole.address() as AddressInfo;
    const endpoint = `http://127.0.0.1:${port}`;
    const dev = launchTestDev({ env: { FINGERPOST_ETCD_ENDPOINTS: endpoint } });
    try {
      await until("the gateway runs", () => /^the gateway runs at/m.test(dev.stderr()), { timeoutMs: 30_000 });
      // A machine that is busy with other tests bundles and starts slowly.
      await until("the wait is told", () => WAITS_FOR_ETCD.test(dev.stderr()), { timeoutMs: 20_000 });
      expect(WAITS_FOR_ETCD.exec(dev.stderr())?.[0]).toContain(`with etcd at ${endpoint}`);
    } finally {
      const exited = once(dev.child, "exit");
      dev.child.kill("SIGTERM");
      expect(await exited).toEqual([0, null]);
      blackHole.close();
    }
  }, 90_000);

  it("says what failed when a part does not start, and leaves nothing", async () => {
    const folder = mkdtempSync(join(tmpdir(), "fingerpost-path-"));
    folders.push(folder);
    writeFileSync(join(folder, "etcd"), "#!/bin/sh\necho 'no disk today' >&2\nexit 3\n");
    chmodSync(join(folder, "etcd"), 0o755);
    const child = spawn(process.execPath, ["cli/main.ts", "dev", "--json", "--no-demo"], {
      cwd: PROJECT_DIR,
      env: { ...process.env, PATH: `${folder}:${process.env["PATH"]}` },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    expect(await once(child, "close")).toEqual([1, null]);
    expect(output).toMatch(/fingerpost: etcd exited with 3 at start. Its log ends:\nno disk today/);
    expect(runDirs()).not.toContain(String(child.pid));
  });
});
