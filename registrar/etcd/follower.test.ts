import { expect, test } from "vitest";
import { createManualClock } from "../../test/support/clock.ts";
import { createLog } from "../../node/log.ts";
import { createFollower, type FollowerSink, type RestartReason } from "./follower.ts";
import { EtcdError, type Etcd, type KeyValue, type Page, type WatchHandlers } from "./port.ts";

const PREFIX = "/fingerpost/";

function entry(key: string, modRevision: number, value = ""): KeyValue {
  return { key: PREFIX + key, value, createRevision: modRevision, modRevision, lease: "0" };
}

/** An etcd at a revision the test sets, for what a real one does only after a restore from a backup. */
function setUp(sink: Partial<FollowerSink> = {}) {
  const clock = createManualClock();
  const watches: { readonly from: number; readonly handlers: WatchHandlers; open: boolean }[] = [];
  const restarts: RestartReason[] = [];
  const restored: number[] = [];
  const reverted: number[] = [];
  const applied: number[] = [];
  const server = { revision: 10, pages: [] as (() => Page)[], lists: 0, history: new Map<number, KeyValue>() };
  const etcd: Pick<Etcd, "get" | "list" | "watch"> = {
    async get(_key, atRevision = 0) {
      await Promise.resolve();
      if (atRevision > server.revision) throw new EtcdError("future", "required revision is a future revision");
      return { entry: server.history.get(atRevision), revision: server.revision };
    },
    async *list() {
      server.lists++;
      const pages = server.pages.length > 0 ? server.pages : [() => ({ entries: [], revision: server.revision })];
      for (const page of pages) yield await Promise.resolve(page());
    },
    watch(_prefix, from, handlers) {
      const watch = { from, handlers, open: true };
      watches.push(watch);
      return () => (watch.open = false);
    },
  };
  const follower = createFollower({
    etcd,
    prefix: PREFIX,
    sink: {
      page: () => {},
      restore(revision, wentBack) {
        restored.push(revision);
        if (wentBack) reverted.push(revision);
      },
      apply: (_events, revision) => applied.push(revision),
      ...sink,
    },
    clock,
    random: () => 0.999,
    log: createLog("test", "silent"),
    onRestart: (reason) => restarts.push(reason),
  });
  /** A put that etcd then knows of. */
  const event = (modRevision: number) => {
    const put = entry("a", modRevision);
    server.history.set(modRevision, put);
    server.revision = Math.max(server.revision, modRevision);
    return [{ type: "put" as const, entry: put }];
  };
  const cut = () => watches.at(-1)?.handlers.onEnd({ error: new EtcdError("unavailable", "cut") });
  return { clock, server, follower, watches, restarts, restored, reverted, applied, event, cut };
}

test("a watch goes on after the last event delivered, and not after what the list or a header said", async () => {
  const { clock, server, follower, watches, applied, event, cut } = setUp();
  follower.start();
  await clock.advance(0);
  watches[0]?.handlers.onEvents(event(12));
  server.revision = 500;
  cut();
  await clock.advance(1000);
  expect(watches.map(({ from }) => from)).toEqual([11, 13]);
  expect(applied).toEqual([12]);
  await follower.close();
  expect(watches.some(({ open }) => open)).toBe(false);
});

test("an etcd that has gone back behind what was applied is listed again, not watched from the future", async () => {
  const { clock, server, follower, watches, restored, reverted, restarts, event, cut } = setUp();
  follower.start();
  await clock.advance(0);
  watches[0]?.handlers.onEvents(event(100));
  server.revision = 40;
  cut();
  await clock.advance(5000);
  expect(restarts).toEqual(["ended", "reverted"]);
  expect(restored).toEqual([10, 40]);
  expect(reverted).toEqual([40]);
  expect(watches.map(({ from }) => from)).toEqual([11, 41]);
  expect(follower.revision()).toBe(40);
  await follower.close();
});

test.each([
  ["nothing", undefined],
  ["another put", entry("a", 100, "of another history")],
])("an etcd that has %s at the last revision followed is listed again, however far it has come", async (_, then) => {
  const { clock, server, follower, watches, restored, reverted, restarts, event, cut } = setUp();
  follower.start();
  await clock.advance(0);
  watches[0]?.handlers.onEvents(event(100));
  server.history.delete(100);
  if (then) server.history.set(100, then);
  server.revision = 300;
  cut();
  await clock.advance(5000);
  expect(restarts).toEqual(["ended", "reverted"]);
  expect(restored).toEqual([10, 300]);
  expect(reverted).toEqual([300]);
  await follower.close();
});

test("a list after which nothing was followed is made again: no event tells one history from another", async () => {
  const { clock, follower, restored, reverted, cut } = setUp();
  follower.start();
  await clock.advance(0);
  cut();
  await clock.advance(5000);
  expect(restored).toEqual([10, 10]);
  expect(reverted).toEqual([]);
  await follower.close();
});

test("an event from the past is not applied; everything is listed again", async () => {
  const { clock, follower, watches, restored, applied, restarts, event } = setUp();
  follower.start();
  await clock.advance(0);
  watches[0]?.handlers.onEvents(event(12));
  watches[0]?.handlers.onEvents(event(11));
  await clock.advance(5000);
  expect(applied).toEqual([12]);
  expect(restarts).toEqual(["reverted"]);
  expect(restored).toEqual([10, 12]);
  await follower.close();
});

test("a list whose revision is compacted between two pages starts again, and no half of it is restored", async () => {
  const { clock, server, follower, restored, restarts } = setUp();
  server.pages = [
    () => ({ entries: [entry("a", 3)], revision: 10 }),
    () => {
      server.pages = [];
      server.revision = 20;
      throw new EtcdError("compacted", "compacted");
    },
  ];
  follower.start();
  await clock.advance(0);
  expect(follower.isReady()).toBe(false);
  await clock.advance(5000);
  expect(restarts).toEqual(["compacted"]);
  expect(restored).toEqual([20]);
  expect(follower.isReady()).toBe(true);
  await follower.close();
});

test("a sink that fails on an event is given everything anew, with backoff", async () => {
  const { clock, server, follower, watches, restarts, event } = setUp({
    apply() {
      throw new Error("broken");
    },
  });
  follower.start();
  await clock.advance(0);
  for (let elapsedMs = 0; elapsedMs < 60_000; elapsedMs += 100) {
    const watch = watches.at(-1);
    if (watch?.open) watch.handlers.onEvents(event(follower.revision() + 1));
    await clock.advance(100);
  }
  expect(new Set(restarts)).toEqual(new Set(["failed"]));
  expect(server.lists).toBeGreaterThanOrEqual(restarts.length);
  expect(server.lists).toBeLessThan(18);
  await follower.close();
});

test("a list asked for during a list, or during an outage, is not forgotten", async () => {
  const { clock, server, follower, restored, reverted, cut } = setUp();
  server.pages = [
    () => {
      server.pages = [];
      follower.relist("requested");
      return { entries: [entry("a", 3)], revision: 10 };
    },
  ];
  follower.start();
  await clock.advance(0);
  expect(restored).toEqual([10]);
  expect(server.lists).toBe(2);
  cut();
  follower.relist("reverted");
  await clock.advance(1000);
  expect(server.lists).toBe(3);
  expect(reverted).toEqual([10]);
  await follower.close();
});

test("closing at any moment of a list ends it", async () => {
  const { clock, server, follower, watches } = setUp();
  server.pages = [
    () => {
      void follower.close();
      return { entries: [], revision: 10 };
    },
  ];
  follower.start();
  await clock.advance(0);
  await follower.close();
  expect(watches).toEqual([]);
  expect(follower.isReady()).toBe(false);
});
