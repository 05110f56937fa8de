import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { createFollower, type Follower, type RestartReason } from "../../registrar/etcd/follower.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { startProxy, type Proxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { compact, connect, createMirror, parts, put, putEach, putTogether, type Mirror } from "./fixture.ts";

let server: Awaited<ReturnType<typeof startTestEtcd>>;
let proxy: Proxy;
let writer: Etcd;
let reader: Etcd;
let follower: Follower;
let mirror: Mirror;
let restarts: RestartReason[];
let prefix: string;
let tests = 0;
/** What a test wants done when events arrive. */
let onApply: () => void;

const keys = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `${prefix}${from + index}`);

beforeAll(async () => {
  server = await startTestEtcd();
  proxy = await startProxy(Number(new URL(server.endpoint).port));
});
afterAll(async () => {
  await proxy?.close();
  await server?.close();
});

beforeEach(() => {
  prefix = `/fingerpost/default/follower-${++tests}/`;
  restarts = [];
  onApply = () => {};
  mirror = createMirror(() => onApply());
  writer = connect(server.endpoint, server.user);
  reader = connect(`http://127.0.0.1:${proxy.port}`, server.user);
  follower = createFollower({
    etcd: reader,
    prefix,
    sink: mirror,
    ...parts,
    onRestart: (reason) => restarts.push(reason),
  });
});
afterEach(async () => {
  await follower.close();
  await Promise.all([reader.close(), writer.close()]);
});

test("a list of several pages is whole, and what changes afterwards follows, transactions undivided", async () => {
  await putTogether(writer, keys(0, 2500));
  follower.start();
  await until("the list is there", () => follower.isReady());
  expect([...mirror.entries.keys()]).toEqual(keys(0, 2500).toSorted());
  let calls = 0;
  onApply = () => calls++;
  const { revision } = await writer.transact(
    [],
    [put(`${prefix}a`), put(`${prefix}b`), { type: "delete", key: `${prefix}0` }],
  );
  await until("the transaction is there", () => follower.revision() === revision);
  expect(calls).toBe(1);
  expect(mirror.entries.size).toBe(2501);
  expect(mirror.restores()).toBe(1);
  expect(restarts).toEqual([]);
});

test("a watch that is cut twice while it catches up on 2,200 large revisions loses and repeats none", async () => {
  follower.start();
  await until("the list is there", () => follower.isReady());
  await putEach(writer, keys(0, 1));
  await until("the watch is there", () => mirror.keysPut.length === 1);
  await proxy.refuse(true);
  proxy.reset();
  // Large enough that one answer is cut into fragments.
  await putEach(writer, keys(1, 2200), "x".repeat(4000));
  let cuts = 0;
  onApply = () => {
    if (mirror.keysPut.length < 2199 && cuts < 2) {
      cuts++;
      proxy.reset();
    }
  };
  await proxy.refuse(false);
  await until("all is there", () => mirror.entries.size === 2200, { timeoutMs: 30_000 });
  expect(cuts).toBe(2);
  expect(restarts.length).toBeGreaterThanOrEqual(3);
  expect(mirror.keysPut.toSorted()).toEqual(keys(0, 2200).toSorted());
  expect(mirror.restores()).toBe(1);
}, 60_000);

test("history that is compacted while the watch is down is made good by a new list", async () => {
  await putEach(writer, keys(1, 10));
  follower.start();
  await until("the list is there", () => follower.isReady());
  await putEach(writer, keys(0, 1));
  await until("the watch is there", () => mirror.entries.size === 10);
  await proxy.refuse(true);
  proxy.reset();
  await writer.transact([], [{ type: "delete", key: `${prefix}0` }]);
  await putEach(writer, keys(10, 20));
  const { revision } = await writer.get(prefix);
  await compact(server.endpoint, server.root, revision);
  await proxy.refuse(false);
  await until("a second list is there", () => mirror.restores() === 2);
  expect([...mirror.entries.keys()].toSorted()).toEqual(keys(1, 20).toSorted());
  expect(restarts).toContain("compacted");
  await putEach(writer, keys(20, 21));
  await until("the watch goes on", () => mirror.entries.size === 20);
});

test("a list asked for brings a restore, and the watch goes on", async () => {
  await putEach(writer, keys(0, 3));
  follower.start();
  await until("the list is there", () => follower.isReady());
  follower.relist("requested");
  await until("a second list is there", () => mirror.restores() === 2);
  await putEach(writer, keys(3, 4));
  await until("the watch goes on", () => mirror.entries.size === 4);
  expect(restarts).toEqual(["requested"]);
});

test("the watch goes on without a gap when etcd is killed with -9 and comes back", async () => {
  follower.start();
  await until("the list is there", () => follower.isReady());
  let written = 0;
  const stopping = new AbortController();
  // Only what etcd confirmed counts; a write that fails may be there or not.
  const confirmed: string[] = [];
  const writing = (async () => {
    while (!stopping.signal.aborted) {
      const key = `${prefix}${written++}`;
      await writer.transact([], [put(key)]).then(
        () => confirmed.push(key),
        () => until("a moment has passed", () => new Promise((resolve) => setImmediate(() => resolve(true)))),
      );
    }
  })();
  await until("writes are followed", () => mirror.keysPut.length >= 200);
  await server.kill("SIGKILL");
  await server.start();
  const before = confirmed.length;
  await until("writes go on", () => confirmed.length >= before + 200);
  stopping.abort();
  await writing;
  await until("all confirmed writes are followed", () => confirmed.every((key) => mirror.entries.has(key)));
  expect(new Set(mirror.keysPut).size).toBe(mirror.keysPut.length);
  expect(mirror.restores()).toBe(1);
  expect(restarts).toContain("ended");
});
