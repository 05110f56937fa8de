import { ELECTION_KEY } from "../../contract/etcd-keys.ts";
import { headKey, catalogKey, serviceKey } from "../../contract/redis-keys.ts";
import { sleep } from "../../kernel/clock.ts";
import type { Log } from "../../node/log.ts";
import { createResolver } from "../../src/resolver.ts";
import { createFakeColo } from "../resolver/fake-colo.ts";
import { createFakeDeep } from "../resolver/fake-deep.ts";
import { AGENT_TTL_MS, createAgents, type Agents } from "./agents.ts";
import { createEtcdModel, type EtcdModel } from "./etcd-model.ts";
import { createLedger, NAMESPACE } from "./ledger.ts";
import { createLink, type Link } from "./link.ts";
import { ISOLATES, PUBLISHERS, type Plan } from "./plan.ts";
import { BEGIN_MS, createProcess, randomOf } from "./process.ts";
import { HOLD_MS, startPublisherProcess, type PublisherProcess } from "./publisher-process.ts";
import { createReader, type Reader } from "./reader.ts";
import { createReadStore } from "./redis-client.ts";
import { createRedisModel, type RedisModel } from "./redis-model.ts";
import { createTimeline, type Timeline } from "./timeline.ts";
import { createTruth, type Truth } from "./truth.ts";
import type { Guarantee, Violation } from "./violation.ts";

/** A reader with what it reads over. */
export interface Isolate extends Reader {
  readonly link: Link;
}

/** All parts of one simulated deployment, and what was found wrong with it so far. */
export interface World {
  readonly timeline: Timeline;
  readonly etcd: EtcdModel;
  readonly redis: RedisModel;
  readonly agents: Agents;
  readonly truth: Truth;
  readonly colo: ReturnType<typeof createFakeColo>;
  /** By the name of the plan, the life that is under way. */
  readonly publishers: Map<string, PublisherProcess>;
  readonly isolates: Map<string, Isolate>;
  readonly violations: Violation[];
  /** What happened, a line each, if anybody wants to know. */
  readonly trace: string[];
  readonly report: (guarantee: Guarantee, text: string) => void;
  tell(text: string | (() => string)): void;
  startPublisher(name: string): void;
  /** Closes it, and sees that nothing of it is left. */
  endPublisher(publisher: PublisherProcess): Promise<void>;
  startIsolate(name: string): void;
  /** Redis holds less, or something else, than was written. */
  dataLost(): void;
  skewed(byMs: number): void;
  /** By how much times of two clocks of this world may differ. */
  slackMs(): number;
}

/** What the parts log of failures that a world brings about; whatever else fails is a defect. */
const EXPECTED_FAILURE = /^(Redis: |etcd |another head was written during the claim|Redis belongs to)/;
const ANSWERS_MS = 2000;
/** A clock's own rounding. */
const SLACK_MS = 5;

export function createWorld(plan: Plan, traced: boolean): World {
  const { seed, settings } = plan;
  const timeline = createTimeline();
  const violations: Violation[] = [];
  const trace: string[] = [];
  const lives = new Map<string, number>();
  const terms = new Map<string, number>();
  const followers = new Map<string, PublisherProcess>();
  let skewMs = 0;
  const nowMs = () => timeline.nowMs();
  const slackMs = () => SLACK_MS + skewMs;

  function tell(text: string | (() => string)): void {
    if (!traced) return;
    const line = typeof text === "string" ? text : text();
    trace.push(`${(nowMs() / 1000).toFixed(3).padStart(8)} s  ${line}`);
  }
  function report(guarantee: Guarantee, text: string): void {
    violations.push({ guarantee, atMs: nowMs(), text });
    tell(`BROKEN: ${guarantee}: ${text}`);
  }

  const truth = createTruth({ nowMs, holdMs: HOLD_MS, agentTtlMs: AGENT_TTL_MS });
  const etcd = createEtcdModel(timeline, (changes) => {
    for (const { key, after, cause } of changes) {
      if (key === ELECTION_KEY && after) terms.set(after.value, after.createRevision);
      if (!key.startsWith("/fingerpost/_publisher")) tell(`etcd: ${key} ${cause} ${after?.value ?? ""}`);
    }
    truth.apply(changes);
  });
  const redis: RedisModel = createRedisModel({
    timeline,
    now: () => BEGIN_MS + Math.floor(nowMs()),
    onWritten(written) {
      for (const [key, text] of written.texts) tell(`redis: ${written.by} wrote ${key} ${text}`);
      ledger.wrote(written);
    },
  });
  const ledger = createLedger({
    redis: () => redis,
    truth,
    termOf: (publisher) => terms.get(publisher),
    followsSinceMs: (publisher) => followers.get(publisher)?.etcd.watchedSinceMs() ?? Infinity,
    report,
  });
  const colo = createFakeColo();
  const deep = settings.deep ? createFakeDeep() : undefined;
  /** Heads that isolates have read: when, and what they confirm, by the time of the world. */
  const readings: { readonly atMs: number; readonly confirmedMs: number }[] = [];

  function logOf(name: string): Log {
    const line = (level: string) => (fields: unknown, text?: string) => {
      const message = text ?? String(fields);
      tell(() => `${name}: ${message}${text === undefined ? "" : ` ${JSON.stringify(fields)}`}`);
      if (level === "error") report("no defect", `${name} logged: ${message} ${inspect(fields)}`);
      const [, cause] = /^Publishing failed: (.*)/.exec(message) ?? [];
      if (cause !== undefined && !EXPECTED_FAILURE.test(cause)) report("no defect", `${name}: ${message}`);
    };
    return { debug: () => undefined, info: line("info"), warn: line("warn"), error: line("error") } as unknown as Log;
  }

  function nextLife(name: string): string {
    const life = (lives.get(name) ?? 0) + 1;
    lives.set(name, life);
    return `${name}.${life}`;
  }

  const world: World = {
    timeline,
    etcd,
    redis,
    agents: createAgents(etcd, timeline),
    truth,
    colo,
    publishers: new Map(),
    isolates: new Map(),
    violations,
    trace,
    report,
    tell,
    startPublisher(name) {
      const life = nextLife(name);
      const log = logOf(life);
      const started = startPublisherProcess({ timeline, seed, name: life, etcd, redis, namespace: NAMESPACE, log });
      followers.set(life, started);
      world.publishers.set(name, started);
    },
    async endPublisher({ process, etcd: client, close }) {
      await close();
      // A renewal that was under way may be answered yet.
      await sleep(process.clock, ANSWERS_MS);
      const left = { timers: process.timers(), streams: client.streams() };
      if (left.timers + left.streams > 0) {
        report("bounded", `${process.name} was closed, and left ${left.timers} timers and ${left.streams} streams`);
      }
      process.kill();
    },
    startIsolate(name) {
      const life = nextLife(name);
      const process = createProcess(timeline, seed, life);
      const random = randomOf(seed, `${life} redis`);
      const link = createLink({ timeline, process, random });
      const log = logOf(life);
      const store = createReadStore(redis, link, () => (random() < settings.replicaReads ? "replica" : "master"));
      const resolver = createResolver({
        access: { type: "open" },
        store: {
          ...store,
          async get(key) {
            const text = await store.get(key);
            remember(life, key, text);
            return text;
          },
          async mget(keys) {
            const texts = await store.mget(keys);
            for (const [index, key] of keys.entries()) remember(life, key, texts[index]);
            return texts;
          },
        },
        ...(settings.colo && name !== ISOLATES.at(-1) ? { colo } : {}),
        ...(deep ? { deep } : {}),
        clock: process.clock,
        random: process.random,
        log: { info: log.info.bind(log), warn: log.warn.bind(log), error: log.error.bind(log) },
      });
      const reader = createReader({
        process,
        resolver,
        truth,
        nowMs,
        slackMs,
        confirmedSinceMs: (sinceMs) =>
          Math.min(
            Infinity,
            ...readings.filter(({ atMs }) => atMs >= sinceMs - skewMs).map(({ confirmedMs }) => confirmedMs),
          ),
        report,
        tell,
      });
      world.isolates.set(name, { ...reader, link });
    },
    dataLost: () => ledger.lost(),
    slackMs,
    skewed(byMs) {
      skewMs = Math.max(skewMs, 2 * Math.abs(byMs));
    },
  };

  function remember(life: string, key: string, text: string | undefined): void {
    tell(`${life}: read ${key} ${text ?? ""}`);
    if (key !== headKey(NAMESPACE)) return;
    const [, confirmedAt] = /"confirmedAt":(\d+)/.exec(text ?? "") ?? [];
    if (confirmedAt !== undefined) readings.push({ atMs: nowMs(), confirmedMs: Number(confirmedAt) - BEGIN_MS });
  }

  for (const name of PUBLISHERS) world.startPublisher(name);
  for (const name of ISOLATES) world.startIsolate(name);
  return world;
}

export function keyOf(what: string): string {
  if (what === "head") return headKey(NAMESPACE);
  return what === "catalog" ? catalogKey(NAMESPACE) : serviceKey(NAMESPACE, what);
}

function inspect(fields: unknown): string {
  const error = typeof fields === "object" && fields !== null && "err" in fields ? fields.err : undefined;
  return error instanceof Error ? (error.stack ?? error.message) : JSON.stringify(fields);
}
