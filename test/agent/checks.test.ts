import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { instanceKey } from "../../contract/etcd-keys.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import type { Registrar, RegistrarConfig } from "../../registrar/run.ts";
import { makeCertificates } from "../registrar-etcd/certificates.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { sumSamples } from "../support/prometheus.ts";
import { until } from "../support/until.ts";
import { startGrpcTarget, startHttpTarget } from "./check-targets.ts";
import { connect, send, startRegistrar } from "./registrar.ts";

const QUICK = { intervalSeconds: 1, timeoutSeconds: 0.5, rise: 1, fall: 1 };
const SERVER = `
  const server = require("node:http").createServer((request, response) => response.end());
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
`;

let server: TestEtcd;
let root: Etcd;
let registrar: Registrar;

beforeAll(async () => {
  server = await startTestEtcd();
  root = connect(server, "root");
  registrar = await startRegistrar(server);
});
afterAll(async () => {
  await registrar.close();
  await root.close();
  await server.close();
});

async function start(config: Partial<RegistrarConfig>): Promise<Registrar> {
  const started = await startRegistrar(server, config);
  onTestFinished(() => started.close());
  return started;
}

const pathOf = (id: string) => `/v1/services/checked/instances/${id}`;
const put = (id: string, body: unknown, { url } = registrar) => send(url, { method: "PUT", path: pathOf(id), body });
const shown = async (id: string, { url } = registrar) =>
  (await send(url, { path: "/v1/instances?service=checked" })).body.instances.find(
    ({ instance }) => instance.id === id,
  );

/** What etcd has of an instance. */
async function stored(id: string): Promise<unknown> {
  const { entry } = await root.get(instanceKey({ namespace: "default", service: "checked", instance: id }));
  return entry && JSON.parse(entry.value);
}

function untilStored(id: string, expected: unknown): Promise<unknown> {
  return until(`${id} is stored as ${JSON.stringify(expected)}`, async () => {
    expect(await stored(id)).toMatchObject(expected as object);
    return true;
  });
}

/** A service of its own process, so that it can be stopped. */
async function startService(): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const child = spawn(process.execPath, ["-e", SERVER], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const [printed] = (await once(child.stdout, "data")) as [Buffer];
  return { child, port: Number(printed.toString()) };
}

describe("a service that is stopped, and sends no sign of it,", () => {
  it("is down in etcd after its failures in a row, and up again once it goes on", async () => {
    const { child, port } = await startService();
    const check = { type: "http", ...QUICK, fall: 2 };
    const { status, body } = await put("stopped", { address: "127.0.0.1", port, check });
    expect(status).toBe(201);
    expect(body.instance).toMatchObject({ status: "down", cause: "check: no success yet" });
    await untilStored("stopped", { status: "up" });
    child.kill("SIGSTOP");
    await untilStored("stopped", { status: "down", cause: "check: timeout" });
    const seen = await shown("stopped");
    expect(seen?.liveness).toMatchObject({
      type: "check",
      check: { ...check, path: "/" },
      passes: 0,
      last: { result: "failed", reason: "timeout" },
    });
    expect(seen?.liveness.failures).toBeGreaterThanOrEqual(2);
    expect(seen?.liveness.last?.latencyMs).toBeGreaterThanOrEqual(450);
    child.kill("SIGCONT");
    await untilStored("stopped", { status: "up" });
  });
});

describe("each kind of check", () => {
  it("brings an instance up, takes it down, and is counted by its type and result", async () => {
    let serving = 1;
    let code = 200;
    const http = await startHttpTarget((_, response) => void response.writeHead(code).end());
    const grpc = await startGrpcTarget(() => ({ serving }));
    const address = "127.0.0.1";
    await put("http", { address, port: http.port, check: { type: "http", ...QUICK } });
    await put("grpc", { address, port: grpc.port, protocol: "grpc", check: { type: "grpc", ...QUICK } });
    await put("tcp", { address, port: http.port, check: { type: "tcp", ...QUICK } });
    for (const id of ["http", "grpc", "tcp"]) await untilStored(id, { status: "up" });
    serving = 2;
    code = 503;
    http.server.on("request", () => http.server.close());
    await untilStored("grpc", { status: "down", cause: "check: not serving" });
    await untilStored("tcp", { status: "down", cause: "check: connection refused" });
    await untilStored("http", { status: "down", cause: expect.stringMatching(/^check: (status 503|connection)/) });
    const { text } = (await send(registrar.url, { path: "/metrics" })).body;
    for (const type of ["http", "grpc", "tcp"]) {
      for (const result of ["passed", "failed"]) {
        expect(sumSamples(text, "fingerpost_checks_total", { type, result })).toBeGreaterThan(0);
      }
    }
    expect(text).toContain("\nfingerpost_checks_running ");
    const { agent } = (await send(registrar.url, { path: "/v1/status" })).body;
    expect(agent.checks.instances).toBeGreaterThanOrEqual(3);
  });
});

describe("the settings of a registrar", () => {
  it("drain_seconds and down_seconds say how long a draining and a silent instance stay", async () => {
    const quick = await start({ drainSeconds: 1, downSeconds: 1 });
    const slow = await start({ drainSeconds: 3600, downSeconds: 3600 });
    const silent = { address: "127.0.0.1", port: 1, ttlSeconds: 1 };
    for (const [name, each] of Object.entries({ quick, slow })) {
      await put(`${name}-silent`, silent, each);
      await put(`${name}-draining`, { ...silent, ttlSeconds: 60 }, each);
      await send(each.url, { method: "POST", path: `${pathOf(`${name}-draining`)}/drain` });
    }
    for (const id of ["quick-silent", "quick-draining"]) {
      await until(`${id} is gone`, async () => (await stored(id)) === undefined);
    }
    await untilStored("slow-silent", { status: "down", cause: "heartbeat" });
    await untilStored("slow-draining", { status: "draining" });
  });

  it("check_concurrency says how many checks are under way at a time", async () => {
    const narrow = await start({ checkConcurrency: 2 });
    let open = 0;
    let most = 0;
    const { port, asked } = await startHttpTarget((_, response) => {
      open += 1;
      most = Math.max(most, open);
      setImmediate(() => {
        open -= 1;
        response.end();
      });
    });
    const check = { type: "http", ...QUICK };
    await Promise.all(
      Array.from({ length: 30 }, (_, index) => put(`n${index}`, { address: "127.0.0.1", port, check }, narrow)),
    );
    await until("each was checked", () => asked.length >= 30);
    expect(most).toBeLessThanOrEqual(2);
  });

  it("check_ca says whose certificates a check trusts", async () => {
    const { ca, server: pem } = await makeCertificates("nobody");
    const trusting = await start({ checkCa: ca });
    const { port } = await startHttpTarget((_, response) => void response.end(), pem);
    const instance = { address: "localhost", port, protocol: "https", check: { type: "http", ...QUICK } };
    await put("trusted", instance, trusting);
    await put("untrusted", instance);
    await untilStored("trusted", { status: "up" });
    await until("it was found not to be trusted", async () => {
      return (await shown("untrusted"))?.liveness.last?.reason?.startsWith("error ");
    });
    expect(await stored("untrusted")).toMatchObject({ status: "down" });
  });
});
