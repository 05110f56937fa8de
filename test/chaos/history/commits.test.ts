import { expect, test } from "vitest";
import { sealDocument } from "../../../contract/envelope.ts";
import { encodeHead, type Head } from "../../../contract/head.ts";
import { createManualClock } from "../../support/clock.ts";
import { systemClock } from "../../../kernel/clock.ts";
import { startTestRedis } from "../../support/redis.ts";
import { until } from "../../support/until.ts";
import type { RedisServer } from "../fleet/fleet.ts";
import { parseCommit, watchCommits } from "./commits.ts";
import type { HistoryEvent } from "./event.ts";

const head = (epoch: number, revision: number): Head => ({
  namespace: "default",
  identity: 'quo"ted \\ Ünïcode',
  epoch,
  revision,
  etcdRevision: 3,
  complete: true,
  heartbeatAt: 4,
  confirmedAt: 5,
  services: 1,
  instances: 2,
  catalogRevision: 1,
  ring: { floor: 0, entries: [[1, "web", "added"]] },
});
const sealed = (document: string) =>
  sealDocument({ keyId: "a".repeat(11), expiresAt: "1", signature: "b".repeat(86) }, document);

test("only what stored a head is a commit: not the call of a script that may refuse it, and no other key", () => {
  const text = JSON.stringify(encodeHead(head(7, 8)));
  const stored = { namespace: "default", epoch: 7, revision: 8 };
  expect(parseCommit(`1.000001 [0 lua] "SET" "fp:{default}:head" ${text}`)).toEqual(stored);
  expect(parseCommit(`1.000001 [0 127.0.0.1:1] "set" "fp:{default}:head" ${text} "PX" "9"`)).toEqual(stored);
  expect(parseCommit(`1.000001 [0 127.0.0.1:1] "EVALSHA" "0a" "1" "fp:{default}:head" "" "" ${text}`)).toBeUndefined();
  expect(parseCommit(`1.000001 [0 127.0.0.1:1] "GET" "fp:{default}:head"`)).toBeUndefined();
  expect(parseCommit(`1.000001 [0 lua] "SET" "fp:{default}:s:fp:{x}:head" ${text}`)).toBeUndefined();
  expect(parseCommit(`1.000001 [0 lua] "SET" "fp:{other}:head" ${text}`)).toBeUndefined();
  expect(parseCommit(`1.000001 [0 lua] "SET" "fp:{default}:head" "nonsense"`)).toBeUndefined();
});

test("every head that comes into a Redis is recorded in its order, signed or not, also after the server has died", async ({
  onTestFinished,
}) => {
  const redis = await startTestRedis();
  onTestFinished(() => redis.close());
  // The administrator of a fleet's server has a password of the fleet's; here the read-write user may not MONITOR.
  const [, rest = ""] = redis.url.split("@");
  await redis.cli("ACL", "SETUSER", "watcher", "on", ">pass", "~*", "+@all");
  const server = { name: "redis", adminUrl: `redis://watcher:pass@${rest}` } as RedisServer;
  const events: HistoryEvent[] = [];
  const clock = createManualClock();
  const recorder = { at: () => clock.monotonic(), record: (event: HistoryEvent) => void events.push(event), events };
  const stop = watchCommits([server], { ...recorder, close() {} }, systemClock);
  onTestFinished(stop);
  const isWatched = () =>
    until("it is watched", async () => (await redis.cli("CLIENT", "LIST")).includes("cmd=monitor"));
  const commit = (text: string) =>
    redis.cli("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "fp:{default}:head", text);

  await isWatched();
  await commit(encodeHead(head(1, 1)));
  await commit(sealed(encodeHead(head(1, 2))));
  await until("both are known", () => events.length === 2);
  await redis.kill();
  await redis.start();
  await redis.cli("ACL", "SETUSER", "watcher", "on", ">pass", "~*", "+@all");
  await isWatched();
  await commit(sealed(encodeHead(head(2, 1))));
  await until("the third is known", () => events.length === 3);
  const common = { type: "commit", at: 0, server: "redis", namespace: "default" };
  expect(events).toEqual([
    { ...common, epoch: 1, revision: 1 },
    { ...common, epoch: 1, revision: 2 },
    { ...common, epoch: 2, revision: 1 },
  ]);
});
