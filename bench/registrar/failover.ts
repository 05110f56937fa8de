import { createClient } from "@redis/client";
import { decodeHead, type Head } from "../../contract/head.ts";
import { headKey } from "../../contract/redis-keys.ts";
import { until } from "../../test/support/until.ts";
import { distributionOf, round } from "../support/distribution.ts";
import { putInstances } from "../support/instances.ts";
import { startRegistrarProcess, type RegistrarProcess } from "../support/registrar-process.ts";
import type { Figures, Measured } from "../support/result.ts";
import { startBenchEtcd, startBenchRedis, type BenchEtcd, type BenchRedis } from "../support/servers.ts";
import { createStage, type Stage } from "../support/stage.ts";
import { startTask } from "../support/task.ts";
import type { ElectionInput } from "./tasks/bare-election.ts";

/** The registrar's default, which is also given to etcd3's election. */
const ELECTION_TTL_SECONDS = 5;
const BARE_KEY = "bare:leader";
const POLL_MS = 5;
/** Nobody is waited for longer: far above the TTL. */
const FAILOVER_MS_MAX = 60_000;

interface Scale {
  readonly instances: number;
  readonly processes: number;
  readonly kills: number;
  readonly stops: number;
  readonly bareKills: number;
}

const FULL: Scale = { instances: 10_000, processes: 3, kills: 20, stops: 20, bareKills: 5 };
const SHORT: Scale = { instances: 200, processes: 2, kills: 1, stops: 1, bareKills: 1 };

interface Failover {
  /** Until Redis had a head of a higher epoch: from then on the old leader can write nothing. */
  readonly claimedMs: number;
  /** Until Redis had a head that a new leader had confirmed against etcd: published again, and current. */
  readonly publishingMs: number;
}

/** How long nobody publishes when the leader is gone. */
export async function measureFailover(stage: Stage, short: boolean): Promise<Measured> {
  const scale = short ? SHORT : FULL;
  const etcd = await startBenchEtcd(stage);
  const redis = await startBenchRedis(stage);
  await putInstances(etcd, scale.instances, scale.instances / 10);
  const reader = createClient({ url: redis.readOnlyUrl, RESP: 2 });
  reader.on("error", (error: unknown) => stage.say(`Redis: ${String(error)}`));
  await reader.connect();
  stage.own({ close: async () => reader.destroy() });
  const get = (key: string) => reader.get(key);

  const bareRun = killBareLeaders(stage, etcd, redis, get, scale);
  // One after the other, but where no figure is kept.
  if (!short) await bareRun;
  const [bare, { killed, stopped }] = await Promise.all([bareRun, endLeaders(stage, etcd, redis, get, scale)]);
  const worst = (times: readonly number[]) => round(Math.max(...times) / 1000, 2);
  return {
    workload: { ...scale, electionTtlSeconds: ELECTION_TTL_SECONDS },
    versions: { etcd: etcd.version, redis: redis.version },
    figures: {
      "bare etcd3 election, SIGKILL": figuresOf(bare),
      "publisher, SIGKILL": publisherFigures(killed),
      "publisher, SIGTERM": publisherFigures(stopped),
    },
    goals: [
      {
        what: "a killed leader is replaced, worst",
        actual: worst(killed.map(({ claimedMs }) => claimedMs)),
        bound: "at most",
        limit: ELECTION_TTL_SECONDS + 2,
        unit: "s",
      },
      {
        what: "a stopped leader is replaced, worst",
        actual: worst(stopped.map(({ claimedMs }) => claimedMs)),
        bound: "at most",
        limit: 1,
        unit: "s",
      },
    ],
    notes: [
      "One process leads, the others stand by. From the signal until Redis has a head of a higher epoch; the second time is until it has one that the new leader confirmed against etcd after the signal.",
      "What ends is started again, and stands by, before the next signal.",
      "A lease ends when etcd looks, every 500 ms, and an election's lease has between two thirds of its TTL and all of it left when its holder dies.",
    ],
    raw: { bare, killed, stopped },
  };
}

type Get = (key: string) => Promise<string | null>;

async function killBareLeaders(
  whole: Stage,
  etcd: BenchEtcd,
  redis: BenchRedis,
  get: Get,
  { processes, bareKills }: Scale,
): Promise<readonly number[]> {
  const stage = whole.own(createStage("failover", whole.signal));
  const target = { redisUrl: redis.url, redisKey: BARE_KEY, ttlSeconds: ELECTION_TTL_SECONDS };
  const start = async () => {
    const task = startTask<{ campaign: (input: ElectionInput) => Promise<void> }>(
      stage,
      import.meta.url,
      "./tasks/bare-election.ts",
    );
    await task.call("campaign", { endpoint: etcd.endpoint, ...etcd.user, ...target });
    return task;
  };
  const tasks = await Promise.all(Array.from({ length: processes }, start));
  let leader = await until("the bare election has a leader", () => get(BARE_KEY));
  const times: number[] = [];
  for (let kill = 0; kill < bareKills; kill++) {
    stage.say(`bare election: kill ${kill + 1} of ${bareKills}`);
    const index = tasks.findIndex(({ pid }) => String(pid) === leader);
    const killedAt = performance.now();
    await tasks[index]?.kill();
    const dead = leader;
    leader = await poll(stage, "another leader", async () => {
      const now = await get(BARE_KEY);
      return now === dead ? undefined : (now ?? undefined);
    });
    times.push(performance.now() - killedAt);
    if (kill + 1 < bareKills) tasks[index] = await start();
  }
  await stage.close();
  return times;
}

async function endLeaders(
  stage: Stage,
  etcd: BenchEtcd,
  redis: BenchRedis,
  get: Get,
  { processes: count, kills, stops }: Scale,
): Promise<{ readonly killed: readonly Failover[]; readonly stopped: readonly Failover[] }> {
  const start = (name: string, port?: number) =>
    startRegistrarProcess(stage, {
      name,
      role: "publisher",
      etcd,
      redisUrl: redis.url,
      ...(port === undefined ? {} : { port }),
    });
  const processes = await Promise.all(Array.from({ length: count }, (_, index) => start(`publisher-${index}`)));
  const headNow = async () => decodeHead((await get(headKey("default"))) ?? "", "default");

  async function endLeader(signal: NodeJS.Signals): Promise<Failover> {
    const { index } = await until("one leads and all are ready", () => leaderOf(processes), {
      timeoutMs: FAILOVER_MS_MAX,
    });
    const before = await headNow();
    const endedAt = performance.now();
    const endedAtWall = Date.now();
    const ended = processes[index]?.kill(signal);
    const waitFor = async (what: string, found: (head: Head) => boolean) => {
      await poll(stage, what, async () => found(await headNow()) || undefined);
      return performance.now() - endedAt;
    };
    const claimedMs = await waitFor("a higher epoch", ({ epoch }) => epoch > before.epoch);
    const publishingMs = await waitFor(
      "a confirmed head",
      ({ epoch, confirmedAt }) => epoch > before.epoch && confirmedAt > endedAtWall,
    );
    await ended;
    ends += 1;
    if (ends < kills + stops) processes[index] = await start(`publisher-${index}`, processes[index]?.port);
    return { claimedMs, publishingMs };
  }

  let ends = 0;
  const killed: Failover[] = [];
  const stopped: Failover[] = [];
  for (let kill = 0; kill < kills; kill++) {
    stage.say(`publishers: kill ${kill + 1} of ${kills}`);
    killed.push(await endLeader("SIGKILL"));
  }
  for (let stop = 0; stop < stops; stop++) {
    stage.say(`publishers: stop ${stop + 1} of ${stops}`);
    stopped.push(await endLeader("SIGTERM"));
  }
  return { killed, stopped };
}

/** The index of the one that leads; undefined while there is none, or one is not ready. */
async function leaderOf(processes: readonly RegistrarProcess[]): Promise<{ readonly index: number } | undefined> {
  const statuses = await Promise.all(
    processes.map(async ({ url }) => {
      const response = await fetch(`${url}/v1/status`);
      return (await response.json()) as { readonly ready: boolean; readonly publisher: { readonly role: string } };
    }),
  );
  if (statuses.some(({ ready }) => !ready)) return undefined;
  const leader = statuses.findIndex(({ publisher }) => publisher.role === "leader");
  return leader < 0 ? undefined : { index: leader };
}

/** As `until`, and often enough that the wait between two looks is no part of the figure. */
async function poll<T>(stage: Stage, what: string, look: () => Promise<T | undefined>): Promise<T> {
  const deadlineMs = performance.now() + FAILOVER_MS_MAX;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadlineMs) throw new Error(`not within ${FAILOVER_MS_MAX} ms: ${what}`);
    await stage.pause(POLL_MS);
  }
}

function figuresOf(times: readonly number[]): Figures {
  const { count, min, p50, p90, max } = distributionOf(times);
  const seconds = (ms: number) => round(ms / 1000, 2);
  return {
    times: count,
    "least s": seconds(min),
    "p50 s": seconds(p50),
    "p90 s": seconds(p90),
    "worst s": seconds(max),
  };
}

function publisherFigures(failovers: readonly Failover[]): Figures {
  const publishing = distributionOf(failovers.map(({ publishingMs }) => publishingMs));
  return {
    ...figuresOf(failovers.map(({ claimedMs }) => claimedMs)),
    "published again, p50 s": round(publishing.p50 / 1000, 2),
    "worst, s": round(publishing.max / 1000, 2),
  };
}
