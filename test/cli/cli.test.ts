import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import { runRegistrar, type Registrar } from "../../registrar/run.ts";
import { answerOf, playResolver, type PlayedResolver } from "../client/resolver.ts";
import { bareEnvironment } from "../support/bare-environment.ts";
import { PROJECT_DIR } from "../support/dev.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { instance } from "../support/instance.ts";
import { until } from "../support/until.ts";
import { spawnFingerpost } from "./spawned.ts";

const TOKEN = "the-command-lines-tests";
const COMMANDS = [
  "etcd-setup",
  "keys",
  "registrar",
  "gateway",
  "resolver",
  "dev",
  "register",
  "lookup",
  "watch",
  "ls",
  "status",
  "guard",
];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fingerpost-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `fingerpost` with these arguments, and with nothing of this process' environment that tells it anything. */
function fingerpost(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(PROJECT_DIR, "cli/main.ts"), ...args],
      { cwd: folder, env: { ...bareEnvironment(), ...env }, timeout: 20_000 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });
}

describe("the command line", () => {
  it.each(COMMANDS)("explains %s and ends with 0", async (command) => {
    const { code, stdout } = await fingerpost([command, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: fingerpost ${command}`);
    expect(stdout).not.toMatch(/default: (\[\]|\{\})/);
  });

  it("ends with 2, and lists all that is wrong, before a process with a wrong configuration does anything", async () => {
    const file = join(folder, "wrong.toml");
    writeFileSync(file, 'color = "red"\n[etcd]\nendpoints = []\n[registrar]\nlease_ttl_seconds = 1\n');
    const { code, stderr } = await fingerpost(["registrar", "--config", file, "--role", "king"]);
    expect(code).toBe(2);
    for (const said of [
      "color in the file: is not a known setting",
      "etcd.endpoints in the file: must name at least one URL",
      "registrar.lease_ttl_seconds in the file: must be 5 to 3600 seconds (it is 1)",
      '--role: must be both, agent or publisher (it is "king")',
    ]) {
      expect(stderr).toContain(said);
    }
  });

  it.each([
    [
      "a registrar that others reach and nobody has a token for",
      ["registrar", "--listen", "0.0.0.0:0", "--role", "agent"],
    ],
    ["a registrar with nowhere to publish", ["registrar"]],
    ["a state directory that is a file", ["registrar", "--role", "agent", "--state-dir", process.execPath]],
    ["a gateway without token and Redis", ["gateway"]],
    ["a resolver that is neither open nor has a key", ["resolver"]],
    ["an argument nobody knows", ["ls", "--colour"]],
    ["a command nobody knows", ["discover"]],
    ["an address that is missing", ["register", "web", "--port", "80"]],
    ["two kinds of check", ["register", "web", "--address", "a", "--port", "80", "--check-tcp", "--check-http", "/"]],
    ["a check beside a TTL", ["register", "web", "--address", "a", "--port", "80", "--check-tcp", "--ttl", "5"]],
    ["a rise of no check", ["register", "web", "--address", "a", "--port", "80", "--check-rise", "5"]],
    ["a password file that nothing is written to", ["etcd-setup", "--password-file", "password"]],
    ["a state directory that cannot be", ["registrar", "--role", "agent", "--state-dir", "/proc/nope"]],
    ["an interval of no check", ["register", "web", "--address", "a", "--port", "80", "--check-interval", "5"]],
    ["a port that is no number", ["register", "web", "--address", "a", "--port", "http"]],
  ])("ends with 2 for %s", async (_, args) => {
    const { code, stderr } = await fingerpost(args);
    expect(code).toBe(2);
    expect(stderr.trim()).not.toBe("");
  });

  it.each([["lookup", "web"], ["ls"]])("ends with 1, and names who did not answer, for %s", async (...args) => {
    const { code, stderr } = await fingerpost([...args, "--resolver", "http://127.0.0.1:1"]);
    expect(code).toBe(1);
    expect(stderr).toContain("http://127.0.0.1:1");
  });
});

const FILTERS = (
  "--instance-version ^2 --tag blue --tag new --region eu --zone eu-1 " +
  "--meta team=edge --meta a=b=c --health all --near eu-1 --limit 3"
).split(" ");
const FILTERS_QUERY =
  "health=all&limit=3&meta.a=b%3Dc&meta.team=edge&near=eu-1&region=eu&tag=blue&tag=new&version=%5E2&zone=eu-1";

it("a process says which variables nothing reads, and says nothing of those of another process", async () => {
  // Each ends by itself, since its port is taken.
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const env = {
    FINGERPOST_PUBLIC_KEY: "x",
    FINGERPOST_LEASE_TTL_SECONDS: "30",
    FINGERPOST_LISTEN: `127.0.0.1:${(taken.address() as AddressInfo).port}`,
    UPSTASH_REDIS_REST_URL: "http://127.0.0.1:9",
    UPSTASH_REDIS_REST_TOKEN: "t",
    FINGERPOST_TOKEN: TOKEN,
    FINGERPOST_REDIS_URL: "redis://127.0.0.1:9",
  };
  try {
    const ended = await Promise.all([fingerpost(["resolver", "--open"], env), fingerpost(["gateway"], env)]);
    for (const { code, stderr } of ended) {
      expect([code, stderr]).toEqual([1, expect.stringContaining("is taken")]);
      expect(stderr).toContain('"variables":["FINGERPOST_PUBLIC_KEY"],"msg":"nothing reads these variables');
    }
  } finally {
    taken.close();
  }
});

async function startPlayed(): Promise<PlayedResolver> {
  const resolver = await playResolver();
  onTestFinished(() => resolver.close());
  return resolver;
}

it("lookup takes every filter, and asks with all of them", async () => {
  const resolver = await startPlayed();
  resolver.play((_request, response) => {
    response
      .writeHead(200, { "Content-Type": "application/json" })
      .end(JSON.stringify(answerOf("web", [instance("a")])));
  });
  const { code, stdout } = await fingerpost(["lookup", "web", ...FILTERS, "--resolver", resolver.url]);
  expect([code, stdout.split("\n")[1]]).toEqual([0, expect.stringMatching(/^a /)]);
  expect(resolver.seen[0]?.path).toBe(`/v1/namespaces/default/services/web?${FILTERS_QUERY}`);
});

it("watch prints a line a change, and ends with 0 when it is stopped", async () => {
  const resolver = await startPlayed();
  const answer = (revision: number, ids: readonly string[]) =>
    `event: service\ndata: ${JSON.stringify(
      answerOf(
        "web",
        ids.map((id) => instance(id)),
        { revision },
      ),
    )}\n\n`;
  let stream: ServerResponse | undefined;
  resolver.play((_request, response) => {
    stream = response.writeHead(200, { "Content-Type": "text/event-stream" });
    stream.write(answer(7, ["a", "b"]));
  });
  const child = spawnFingerpost(["watch", "web", ...FILTERS, "--resolver", resolver.url], { cwd: folder });
  expect(await child.line()).toBe("revision 7: 2 instances +a +b");
  stream?.write(answer(8, ["b", "c"]));
  expect(await child.line()).toBe("revision 8: 2 instances +c -a");
  stream?.write("event: unknown\ndata: {}\n\n");
  expect(await child.line()).toBe('there is no service "web"');
  expect(resolver.seen[0]?.path).toBe(`/v1/namespaces/default/services/web/watch?${FILTERS_QUERY}`);
  child.kill("SIGINT");
  expect(await child.exited).toBe(0);
});

describe("with a registrar", () => {
  let etcd: TestEtcd;
  let registrar: Registrar;
  beforeAll(async () => {
    etcd = await startTestEtcd();
    registrar = await runRegistrar(
      {
        etcd: { endpoints: [etcd.endpoint], ...etcd.user },
        listen: { host: "127.0.0.1", port: 0 },
        token: TOKEN,
        role: "agent",
        namespace: "default",
        leaseTtlSeconds: 30,
        adopt: false,
        leave: false,
      },
      {
        log: createLog("test", "silent"),
        signal: new AbortController().signal,
        clock: systemClock,
        random: systemRandom,
      },
    );
  });
  afterAll(async () => {
    await registrar.close();
    await etcd.close();
  });

  async function instances(): Promise<readonly Record<string, unknown>[]> {
    const answer = await fetch(`${registrar.url}/v1/instances`, { headers: { authorization: `Bearer ${TOKEN}` } });
    const { instances: held } = (await answer.json()) as { instances: Record<string, unknown>[] };
    return held;
  }

  it("register keeps an instance while it runs, and deregisters it when it is stopped", async () => {
    const args = ["register", "web", "--id", "web-1", "--address", "127.0.0.1", "--port", "8080", "--ttl", "2"];
    const child = spawnFingerpost([...args, "--tag", "blue", "--registrar", registrar.url], {
      cwd: folder,
      env: { FINGERPOST_REGISTRAR_TOKEN: TOKEN },
    });
    expect(await child.line()).toContain("registered web/web-1");
    const startedMs = performance.now();
    // Longer than its TTL: what keeps it up are the command's heartbeats.
    await until("the instance has outlived its TTL", async () => {
      expect(JSON.stringify(await instances())).toContain('"status":"up"');
      return performance.now() - startedMs > 3000;
    });
    child.kill("SIGTERM");
    expect(await child.line()).toContain("deregistered web/web-1");
    expect(await child.exited).toBe(0);
    expect(await instances()).toEqual([]);
  });

  it("register has the registrar check the instance when told to", async () => {
    const target = createServer(
      (request, response) => void response.writeHead(request.url === "/up" ? 204 : 500).end(),
    );
    onTestFinished(() => void target.close());
    target.listen(0, "127.0.0.1");
    await once(target, "listening");
    const { port } = target.address() as AddressInfo;
    const where = ["--id", "web-2", "--address", "127.0.0.1", "--port", "1", "--check-port", String(port)];
    const how = ["--check-http", "/up", "--check-interval", "2", "--check-timeout", "1"];
    const judged = ["--check-rise", "1", "--check-fall", "4", "--check-initial", "up"];
    const child = spawnFingerpost(["register", "web", ...where, ...how, ...judged, "--registrar", registrar.url], {
      cwd: folder,
      env: { FINGERPOST_REGISTRAR_TOKEN: TOKEN },
    });
    await until("the check has found it up", async () => JSON.stringify(await instances()).includes('"status":"up"'));
    expect(await instances()).toMatchObject([
      {
        liveness: {
          type: "check",
          check: {
            type: "http",
            path: "/up",
            port,
            intervalSeconds: 2,
            timeoutSeconds: 1,
            rise: 1,
            fall: 4,
            initial: "up",
          },
        },
      },
    ]);
    child.kill("SIGTERM");
    await child.exited;
    expect(await instances()).toEqual([]);
  });

  it("register names every rule that the registration breaks", async () => {
    const args = ["register", "web", "--address", "http://a", "--port", "0", "--registrar", registrar.url];
    const { code, stderr } = await fingerpost(args, { FINGERPOST_TOKEN: TOKEN });
    expect(code).toBe(1);
    expect(stderr).toContain("/address must be a host name");
    expect(stderr).toContain("/port must be 1 to 65535");
  });

  it("guard says of a registrar that is an agent that it has none", async () => {
    for (const args of [["guard"], ["guard", "release", "web"]]) {
      const { code, stderr } = await fingerpost([...args, "--registrar", registrar.url], { FINGERPOST_TOKEN: TOKEN });
      expect(code).toBe(1);
      expect(stderr).toContain("This registrar is an agent and has no guard");
    }
  });

  it("status tells how it is, and refuses to without the token", async () => {
    const told = await fingerpost(["status", "--registrar", registrar.url], { FINGERPOST_TOKEN: TOKEN });
    expect(told.code).toBe(0);
    expect(JSON.parse(told.stdout)).toMatchObject({ role: "agent", ready: true });
    const refused = await fingerpost(["status", "--registrar", registrar.url]);
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toContain("Set FINGERPOST_TOKEN");
  });
});
