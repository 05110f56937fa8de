import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect, entriesBelow } from "../agent/registrar.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { findFreePort } from "../../dev/ports.ts";
import type { Gateway } from "../../gateway/run.ts";
import { READ_ONLY_TOKEN, startGateway } from "../gateway/gateway.ts";
import { connectWriter, createTestPublisher } from "../resolver/publish.ts";
import { startWorker } from "../resolver/workerd.ts";
import { instance } from "../support/instance.ts";
import { startTestRedis, type TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";
import { addPackages, bundle, exampleOf } from "./examples.ts";

const run = promisify(execFile);
const project = fileURLToPath(new URL("../..", import.meta.url));

let folder: string;
let installed: string;

// The package as a user gets it: built, packed, and unpacked where another project's node_modules would hold it.
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "fingerpost-package-"));
  await run("npm", ["run", "build"], { cwd: project });
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], {
    cwd: project,
  });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  mkdirSync(join(folder, "node_modules"));
  await run("tar", ["-xzf", join(folder, filename), "-C", folder]);
  installed = join(folder, "node_modules", "fingerpost");
  await run("mv", [join(folder, "package"), installed]);
  symlinkSync(join(project, "node_modules"), join(installed, "node_modules"));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the compiler has to say of a user's file. */
async function typesOf(file: string): Promise<string> {
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: { module: "nodenext", target: "es2024", strict: true, noEmit: true, types: [] },
      files: [file],
    }),
  );
  const tsc = join(project, "node_modules/.bin/tsc");
  const checked = await run(tsc, ["-p", folder]).catch((error: unknown) => error as { stdout: string });
  return checked.stdout;
}

it("runs as the command fingerpost", async () => {
  const { stdout } = await run(process.execPath, [join(installed, "dist/cli/main.js"), "--help"]);
  for (const command of [
    "etcd-setup",
    "registrar",
    "resolver",
    "gateway",
    "dev",
    "register",
    "lookup",
    "ls",
    "status",
  ]) {
    expect(stdout).toContain(`  ${command} `);
  }
});

it("gives another project its client", async () => {
  writeFileSync(
    join(folder, "use.mjs"),
    'import { createClient } from "fingerpost/client"; console.log(typeof createClient({ url: "https://a", token: "t" }).pick);',
  );
  const { stdout } = await run(process.execPath, ["use.mjs"], { cwd: folder });
  expect(stdout.trim()).toBe("function");
});

it("lets a service register itself as the README says, and lets it end", async () => {
  const etcd = await startTestEtcd();
  const root = connect(etcd, "root");
  try {
    const [, example = ""] = /^```js\n(.*?)^```$/ms.exec(readFileSync(join(project, "README.md"), "utf8")) ?? [];
    const endpoint = "http://127.0.0.1:2379";
    expect(example).toContain(`"${endpoint}"`);
    const script = join(folder, "service.mjs");
    const { username, password } = etcd.user;
    writeFileSync(
      script,
      `const [username, password] = ["${username}", "${password}"];\n${example.replace(endpoint, etcd.endpoint)}\nconsole.log("at work");\n`,
    );
    const service = spawn(process.execPath, [script], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [service.stdout, service.stderr]) stream.on("data", (text) => (said += String(text)));
    const exited = once(service, "exit");
    await until("it is at work", () => said !== "");
    expect(await entriesBelow(root, "/fingerpost/default/web/")).toHaveLength(1);
    service.kill("SIGTERM");
    expect({ exited: await exited, said }).toEqual({ exited: [0, null], said: "at work\n" });
    expect(await entriesBelow(root, "/fingerpost/default/web/")).toEqual([]);
  } finally {
    await root.close();
    await etcd.close();
  }
});

it("gives a CommonJS service its registrar, with types", async () => {
  writeFileSync(
    join(folder, "use.cjs"),
    'const { createRegistrar, connectRegistrar } = require("fingerpost/registrar");' +
      "console.log(typeof createRegistrar, typeof connectRegistrar().register);",
  );
  const { stdout, stderr } = await run(process.execPath, ["use.cjs"], { cwd: folder });
  expect({ stdout: stdout.trim(), stderr }).toEqual({ stdout: "function function", stderr: "" });
  writeFileSync(
    join(folder, "use.mts"),
    `import { connectRegistrar, createRegistrar, FingerpostError, type Registered, type ServiceRegistrar } from "fingerpost/registrar";
const both: ServiceRegistrar[] = [createRegistrar({ etcd: { endpoints: ["http://a:1"] } }), connectRegistrar({ url: "http://localhost:1" })];
const registered: Registered | undefined = await both[0]?.register("web", { address: "a", port: 1, tags: ["x"] });
// @ts-expect-error: a port is a number
await both[1]?.register("web", { address: "a", port: "1" });
export { registered, FingerpostError };
`,
  );
  expect(await typesOf("use.mts")).toBe("");
});

describe("the resolver, as docs/portability.md says,", () => {
  let redis: TestRedis;
  let gateway: Gateway;
  let env: Record<string, string>;
  const key = "a-key-for-tests-only";

  beforeAll(async () => {
    redis = await startTestRedis();
    gateway = await startGateway({ redisUrl: redis.url, readOnlyRedisUrl: redis.readOnlyUrl });
    const writer = await connectWriter(redis.url);
    const publisher = createTestPublisher((values) => writer.write(values), { now: () => Date.now() });
    publisher.services.set("web", [instance("web-1")]);
    await publisher.fill();
    await writer.close();
    env = {
      UPSTASH_REDIS_REST_URL: gateway.url,
      UPSTASH_REDIS_REST_TOKEN: READ_ONLY_TOKEN,
      FINGERPOST_KEYS: `test=${createHash("sha256").update(key).digest("hex")}`,
    };
    addPackages(folder);
  });
  afterAll(async () => {
    await gateway?.close();
    await redis?.close();
  });

  const authorization = `Bearer ${key}`;
  const node = (script: string) =>
    run(process.execPath, [script], { cwd: folder, env: { ...process.env, ...env } }).then(({ stdout }) => stdout);

  it("answers in a Worker of the user's own, under a path beside the user's", async () => {
    const worker = await startWorker({ script: await bundle(folder, exampleOf("worker")), env });
    try {
      const ask = (path: string) => fetch(worker.url + path, { headers: { authorization } });
      expect(await (await ask("/")).text()).toContain("own answer");
      for (const source of ["redis", "memory"]) {
        const response = await ask("/discovery/v1/services/web");
        expect([response.status, response.headers.get("fingerpost-source")]).toEqual([200, source]);
        expect(await response.json()).toMatchObject({ instances: [{ id: "web-1" }] });
      }
      expect((await fetch(`${worker.url}/discovery/v1/services/web`)).status).toBe(401);
    } finally {
      await worker.close();
    }
  });

  it("answers in a process of Node", async () => {
    const port = await findFreePort(Math.random);
    expect(exampleOf("node")).toContain("port: 8787");
    writeFileSync(join(folder, "resolver.mjs"), exampleOf("node").replace("8787", String(port)));
    const server = spawn(process.execPath, ["resolver.mjs"], { cwd: folder, env: { ...process.env, ...env } });
    const exited = once(server, "exit");
    try {
      const url = `http://localhost:${port}/v1/services/web`;
      const ask = () => fetch(url, { headers: { authorization } }).catch(() => undefined);
      await until("it answers", async () => (await ask())?.status === 200);
      expect(await (await ask())?.json()).toMatchObject({ instances: [{ id: "web-1" }] });
    } finally {
      server.kill();
      await exited;
    }
  });

  it("answers an event of Lambda", async () => {
    writeFileSync(join(folder, "lambda.mjs"), exampleOf("lambda"));
    const event = {
      version: "2.0",
      rawPath: "/v1/services/web/pick",
      rawQueryString: "key=a",
      headers: { host: "r", authorization },
      requestContext: { http: { method: "GET" } },
    };
    writeFileSync(
      join(folder, "invoke.mjs"),
      `import { handler } from "./lambda.mjs";\nconsole.log(JSON.stringify(await handler(${JSON.stringify(event)}, {})));`,
    );
    const { statusCode, body } = JSON.parse(await node("invoke.mjs")) as { statusCode: number; body: string };
    expect([statusCode, JSON.parse(body)]).toEqual([200, expect.objectContaining({ instance: expect.anything() })]);
  });

  it("is made of options by name, with types", async () => {
    const given = `const [sha256, url, token] = ["${"0".repeat(64)}", "https://redis.example.com", "t"];\n`;
    const then = 'console.log((await resolver.fetch(new Request("http://r/v1/services/web"))).status);\n';
    writeFileSync(join(folder, "options.mjs"), given + exampleOf("options") + then);
    expect((await node("options.mjs")).trim()).toBe("401");
    writeFileSync(
      join(folder, "options.mts"),
      `${given}${exampleOf("options")}
import { createWorker, createCloudflarePlatform } from "fingerpost/resolver/cloudflare";
const response: Response = await resolver.fetch(new Request("http://r/"), createCloudflarePlatform(new Request("http://r/"), { waitUntil() {} }));
// @ts-expect-error: who may ask has no default
createResolver({ store: createUpstashStore({ url, token }) });
export { response, createWorker };
`,
    );
    expect(await typesOf("options.mts")).toBe("");
  });
});

it("brings no Node and nothing to run into the project that installs it", () => {
  const packed = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
    readonly [field: string]: Readonly<Record<string, string>> | undefined;
  };
  // Those of development are not installed with it, whatever they are.
  const fields = Object.keys(packed).filter((field) => /dependencies$/i.test(field) && field !== "devDependencies");
  expect(fields).toEqual(["dependencies"]);
  expect(Object.keys(packed["scripts"] ?? {}).filter((name) => /^(pre|post)?install$/.test(name))).toEqual([]);
  const commands = Object.keys(packed["dependencies"] ?? {}).flatMap((name) => {
    const manifest = readFileSync(join(installed, "node_modules", name, "package.json"), "utf8");
    const { bin } = JSON.parse(manifest) as { bin?: string | Record<string, string> };
    return typeof bin === "object" ? Object.keys(bin) : [];
  });
  expect(commands).not.toContain("node");
});

it("brings no test, no bench and no source that only a checkout can use", async () => {
  const { stdout } = await run("find", [
    installed,
    "-name",
    "*.test.*",
    "-o",
    "-name",
    "*.ts",
    "-not",
    "-name",
    "*.d.ts",
  ]);
  expect(stdout).toBe("");
});
