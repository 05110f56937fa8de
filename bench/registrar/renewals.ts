import { round } from "../support/distribution.ts";
import { countInstances } from "../support/instances.ts";
import type { Figures, Measured } from "../support/result.ts";
import { startBenchEtcd } from "../support/servers.ts";
import { createStage, type Stage } from "../support/stage.ts";
import { memoryOf } from "../support/usage.ts";
import { startFleet, type FleetKind } from "./fleets.ts";

interface Scale {
  /** Of etcd3's leases and of ours. */
  readonly ttlSeconds: number;
  readonly seconds: number;
  readonly small: number;
  readonly large: number;
  /** The most streams that etcd3 is run with; the figures for `large` are scaled up from it. */
  readonly streamsMax: number;
}

/** The registrar's default TTL, and two rounds of renewals, each at a third of it. */
const FULL: Scale = { ttlSeconds: 30, seconds: 20, small: 4000, large: 100_000, streamsMax: 12_000 };
const SHORT: Scale = { ttlSeconds: 5, seconds: 1.7, small: 60, large: 400, streamsMax: 60 };

interface Outcome {
  readonly instances: number;
  readonly messagesPerSecond: number;
  readonly renewalsPerSecond: number;
  readonly etcdCores: number;
  readonly etcdMb: number;
  readonly clientCores: number;
  readonly lost: number;
  readonly version: string;
}

/** What keeping instances registered costs etcd, by its own counters. */
export async function measureRenewals(stage: Stage, short: boolean): Promise<Measured> {
  const scale = short ? SHORT : FULL;
  const { small, large, streamsMax } = scale;
  const etcd3: FleetKind = { type: "etcd3-leases" };
  const registrar: FleetKind = { type: "registrars", agents: 1 };
  const bareSmall = await measureFleet(stage, etcd3, small, scale);
  const ourSmall = await measureFleet(stage, registrar, small, scale);
  const bareMost = streamsMax === small ? bareSmall : await measureFleet(stage, etcd3, streamsMax, scale);
  const ourLarge = await measureFleet(stage, registrar, large, scale);

  const factor = large / streamsMax;
  const bareLarge = bareMost.messagesPerSecond * factor;
  const goal = (count: number, bare: number, ours: number) => {
    const actual = round(bare / ours);
    return { what: `messages for ${count} instances, fewer`, actual, bound: "at least", limit: 50, unit: "×" } as const;
  };
  return {
    workload: { ...scale },
    versions: { etcd: ourSmall.version },
    figures: {
      [`etcd3, ${small} leases and streams`]: figuresOf(bareSmall),
      [`registrar, ${small} instances`]: figuresOf(ourSmall),
      [`etcd3, ${streamsMax} leases and streams`]: figuresOf(bareMost),
      [`the same, scaled to ${large}`]: {
        instances: large,
        "messages per second": round(bareLarge),
        "etcd cores": round(bareMost.etcdCores * factor, 2),
      },
      [`registrar, ${large} instances`]: figuresOf(ourLarge),
    },
    goals: [
      goal(small, bareSmall.messagesPerSecond, ourSmall.messagesPerSecond),
      goal(large, bareLarge, ourLarge.messagesPerSecond),
      { what: "instances lost", actual: ourSmall.lost + ourLarge.lost, bound: "at most", limit: 0, unit: "" },
    ],
    notes: [
      "Messages are all that etcd received and sent over gRPC, by its own count, of every method: renewals and whatever else it takes.",
      `etcd3 keeps one stream for each lease: ${large} of them are out of one machine's reach, so that row is scaled by count from ${streamsMax}.`,
    ],
    raw: { bareSmall, ourSmall, bareMost, ourLarge },
  };
}

async function measureFleet(whole: Stage, kind: FleetKind, instances: number, scale: Scale): Promise<Outcome> {
  const stage = whole.own(createStage("renewals", whole.signal));
  const name = kind.type === "registrars" ? "registrar" : "etcd3";
  stage.say(`${name} with ${instances} instances: starting`);
  const etcd = await startBenchEtcd(stage);
  const fleet = await startFleet(stage, kind, { etcd, instances, ttlSeconds: scale.ttlSeconds });
  stage.say(`${name} with ${instances} instances: ${scale.seconds} s`);
  const before = await etcd.counters();
  const clientCpuBefore = fleet.clientCpuSeconds();
  await stage.pause(scale.seconds * 1000);
  const after = await etcd.counters();
  const clientCpuSeconds = fleet.clientCpuSeconds() - clientCpuBefore;
  const seconds = (after.atMs - before.atMs) / 1000;
  const perSecond = (count: number) => round(count / seconds, 2);
  const outcome: Outcome = {
    instances,
    messagesPerSecond: perSecond(after.messages - before.messages),
    renewalsPerSecond: perSecond(after.renewals - before.renewals),
    etcdCores: round((after.cpuSeconds - before.cpuSeconds) / seconds, 3),
    etcdMb: Math.round(memoryOf(etcd.pid).rssMb),
    clientCores: round(clientCpuSeconds / seconds, 3),
    lost: instances - (await countInstances(etcd, "default")),
    version: etcd.version,
  };
  await stage.close();
  return outcome;
}

function figuresOf(outcome: Outcome): Figures {
  return {
    instances: outcome.instances,
    "messages per second": outcome.messagesPerSecond,
    "renewals per second": outcome.renewalsPerSecond,
    "etcd cores": outcome.etcdCores,
    "etcd MB": outcome.etcdMb,
    "client cores": outcome.clientCores,
    "instances lost": outcome.lost,
  };
}
