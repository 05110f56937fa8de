import { readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it, type TestContext } from "vitest";
import { instanceKey, type InstanceRef } from "../../contract/etcd-keys.ts";
import type { Etcd, WatchEvent } from "../../registrar/etcd/port.ts";
import type { Registrar } from "../../registrar/run.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { until } from "../support/until.ts";
import { ref } from "./agent-on-memory.ts";
import { launchRegistrar, startRegistrarProcess, type RegistrarProcess } from "./registrar-process.ts";
import { connect, entriesBelow, send, startRegistrar } from "./registrar.ts";

// Real processes, real signals. The tests run at the same time, since most of theirs is the leases'.

/** Two leases, with the one more that moves. */
const INSTANCES = 149;

let server: TestEtcd;
let root: Etcd;

beforeAll(async () => {
  server = await startTestEtcd();
  root = connect(server, "root");
});
afterAll(async () => {
  await root.close();
  await server.close();
});

/** A state directory that is not there yet, and what is started on it; both end with the test. */
async function setUp({ onTestFinished }: TestContext, settings: { readonly leaseTtlSeconds: number }) {
  const folder = await mkdtemp(join(tmpdir(), "fingerpost-state-"));
  const stateDir = join(folder, "state");
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const own = (registrar: RegistrarProcess) => {
    onTestFinished(async () => {
      registrar.kill("SIGKILL");
      await registrar.ended();
    });
    return registrar;
  };
  return {
    dir: stateDir,
    start: async () => own(await startRegistrarProcess(server, { ...settings, stateDir })),
    launch: async () => own(await launchRegistrar(server, { ...settings, stateDir })),
  };
}

/** Another agent, on another host if you like. */
async function startOther({ onTestFinished }: TestContext): Promise<Registrar> {
  const other = await startRegistrar(server, { leaseTtlSeconds: 60 });
  onTestFinished(() => other.close());
  return other;
}

interface AtUrl {
  readonly url: string;
}

const put = ({ url }: AtUrl, { service, instance }: InstanceRef, port = 80) =>
  send(url, {
    method: "PUT",
    path: `/v1/services/${service}/instances/${instance}`,
    body: { address: "10.0.0.1", port, ttlSeconds: 600 },
  });
const beat = async ({ url }: AtUrl, { service, instance }: InstanceRef) =>
  (await send(url, { method: "POST", path: `/v1/services/${service}/instances/${instance}/heartbeat` })).status;
const agentOf = async ({ url }: AtUrl) => (await send(url, { path: "/v1/status" })).body.agent;

/** Every change below the prefix from now on. */
async function watchFromNow({ onTestFinished }: TestContext, prefix: string): Promise<WatchEvent[]> {
  const seen: WatchEvent[] = [];
  const { revision } = await root.get(prefix);
  await new Promise<void>((resolve, reject) => {
    const stop = root.watch(prefix, revision + 1, {
      onCreated: resolve,
      onEvents: (events) => seen.push(...events),
      onEnd: () => reject(new Error("the watch ended")),
    });
    onTestFinished(stop);
  });
  return seen;
}

const prefixOf = (service: string) => `/fingerpost/default/${service}/`;
const leasesOf = async (service: string) =>
  new Set((await entriesBelow(root, prefixOf(service))).map(({ lease }) => lease));

/** When the first of them would end, in seconds of our own. */
async function endOf(leases: ReadonlySet<string>): Promise<number> {
  const found = await Promise.all([...leases].map((lease) => root.describeLease(lease)));
  return performance.now() / 1000 + Math.min(...found.map((lease) => lease?.remainingSeconds ?? -Infinity));
}

describe.concurrent("an agent", () => {
  it("killed, then terminated, and started again takes up all it had: nothing leaves, no lease is granted", async (context) => {
    const { expect } = context;
    const { dir, start, launch } = await setUp(context, { leaseTtlSeconds: 30 });
    const service = "handed-over";
    const refs = Array.from({ length: INSTANCES }, (_, index) => ref(`i${index}`, service));
    const moves = ref("moves", service);
    const first = await start();
    const answers = await Promise.all([...refs, moves].map((each) => put(first, each)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    const leases = await leasesOf(service);
    const { name } = await agentOf(first);
    const events = await watchFromNow(context, prefixOf(service));

    // Refused while the first has it, and told who that is.
    const journal = readFileSync(join(dir, "journal"));
    const refused = await launch();
    expect(await refused.ended()).toBe(1);
    expect(refused.stderr()).toContain(
      `The state directory "${dir}" is in use by another registrar, process ${first.pid}.`,
    );
    expect(readFileSync(join(dir, "journal"))).toEqual(journal);

    first.kill("SIGKILL");
    expect(await first.ended()).toBe(null);
    const other = await startOther(context);
    await put(other, moves, 81);
    const moved = (await root.get(instanceKey(moves))).entry;

    const second = await start();
    await send(second.url, { method: "DELETE", path: `/v1/services/${service}/instances/${moves.instance}` });
    // The host's part of it is the same here; the port is another.
    expect(await agentOf(second)).toMatchObject({ name, instances: INSTANCES, leases: 2, takingUp: 0 });
    const beats = await Promise.all(refs.map((each) => beat(second, each)));
    expect(new Set(beats)).toEqual(new Set([204]));

    second.kill("SIGTERM");
    expect(await second.ended()).toBe(0);
    const end = await endOf(leases);
    const third = await start();
    expect(await agentOf(third)).toMatchObject({ name, instances: INSTANCES, leases: 2, takingUp: 0 });
    await until("its leases are renewed", async () => (await endOf(leases)) > end + 2);
    // What is registered from now on goes where there is room.
    await put(third, ref("late", service));
    expect(await leasesOf(service)).toEqual(new Set([...leases, moved?.lease]));
    const changed = events.map(({ type, entry }) => `${type} ${entry.key}`);
    expect(changed).toEqual([`put ${instanceKey(moves)}`, `put ${instanceKey(ref("late", service))}`]);
    expect((await root.get(instanceKey(moves))).entry).toEqual(moved);

    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, "journal")).mode & 0o777).toBe(0o600);
  });

  it("stopped past its TTL and woken registers again, and leaves what has moved to another meanwhile", async (context) => {
    const { expect } = context;
    const { start } = await setUp(context, { leaseTtlSeconds: 5 });
    const service = "stopped";
    const [stays, moves, goes] = [ref("stays", service), ref("moves", service), ref("goes", service)];
    const first = await start();
    for (const each of [stays, moves, goes]) await put(first, each);
    const other = await startOther(context);

    first.kill("SIGSTOP");
    await until("its leases have ended", async () => (await entriesBelow(root, prefixOf(service))).length === 0);
    await put(other, moves, 81);
    await put(other, goes, 81);
    const moved = await entriesBelow(root, prefixOf(service));
    first.kill("SIGCONT");

    await until("it has registered again", async () => (await root.get(instanceKey(stays))).entry);
    await until("it has let go of what moved", async () => (await beat(first, moves)) === 404);
    await send(first.url, { method: "DELETE", path: `/v1/services/${service}/instances/goes` });
    const after = await entriesBelow(root, prefixOf(service));
    expect(after.filter(({ key }) => key !== instanceKey(stays))).toEqual(moved);
    expect(await beat(first, stays)).toBe(204);
    expect(await beat(other, moves)).toBe(204);
  });
});
