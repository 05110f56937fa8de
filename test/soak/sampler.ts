import { heapOf } from "../../bench/resolver/inspector.ts";
import { memoryOf } from "../../bench/support/usage.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { within } from "../../kernel/deadline.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Fleet } from "../chaos/fleet/fleet.ts";
import type { At } from "../chaos/history/event.ts";
import { sumSamples } from "../support/prometheus.ts";
import { readHeap } from "./heap-file.ts";
import type { QuantityName } from "./quantities.ts";

/** What does not answer must not keep the others from being read. */
const READING_MS_MAX = 5000;

/** What a history has no place for: only a soak looks at it. */
export interface Reading {
  readonly at: At;
  readonly process: string;
  readonly quantity: QuantityName;
  readonly value: number;
}

export interface Sampler {
  readonly readings: readonly Reading[];
  /** How many could not be had, by why. */
  readonly leftOut: ReadonlyMap<string, number>;
  /** Resolves once the round under way has ended. */
  stop(): Promise<void>;
}

export interface SamplerOptions {
  readonly fleet: Pick<Fleet, "etcd" | "redis" | "processes">;
  readonly heapDir: string;
  /** Of the workerd that runs the Worker. */
  readonly inspectorPort: number;
  readonly everyMs: number;
  readonly at: () => At;
  readonly clock: Clock;
}

/** Reads, at intervals, the heaps of Node and of the Worker, the databases of etcd and the memory of Redis. */
export function startSampler({ fleet, heapDir, inspectorPort, everyMs, at, clock }: SamplerOptions): Sampler {
  const readings: Reading[] = [];
  const leftOut = new Map<string, number>();
  const stopped = new AbortController();

  function note(process: string, quantity: QuantityName, value: number | undefined): void {
    if (value !== undefined) readings.push({ at: at(), process, quantity, value });
  }

  /** What does not answer in time has no reading in this round; with too few of them the verdict is that nothing was measured. */
  async function attempt(reading: () => Promise<void>): Promise<void> {
    await within(clock, READING_MS_MAX, "a reading", reading()).catch((error: unknown) => {
      const why = messageOf(error);
      leftOut.set(why, (leftOut.get(why) ?? 0) + 1);
    });
  }

  async function round(): Promise<void> {
    for (const process of fleet.processes) {
      if (process.state() === "running") note(process.name, "heap", readHeap(heapDir, process.pid()));
    }
    const members = fleet.etcd.members.map((member) =>
      attempt(async () => {
        const inUse = sumSamples(await member.metrics(), "etcd_mvcc_db_total_size_in_use_in_bytes", {});
        if (inUse === 0) throw new Error(`${member.name} does not tell the size of its database`);
        note(member.name, "database", inUse / 1e6);
        note(member.name, "etcdRss", memoryOf(member.pid()).rssMb);
      }),
    );
    const servers = fleet.redis.servers.map((server) =>
      attempt(async () => {
        const used = /^used_memory:(\d+)/m.exec(await server.cli("INFO", "memory"))?.[1];
        if (used === undefined) throw new Error(`${server.name} does not tell the memory that it uses`);
        note(server.name, "data", Number(used) / 1e6);
        note(server.name, "keys", Number(await server.cli("DBSIZE")));
      }),
    );
    const worker = attempt(async () => {
      const { usedBytes, outsideBytes } = await heapOf(inspectorPort);
      note("worker", "heap", (usedBytes + outsideBytes) / 1e6);
    });
    await Promise.all([...members, ...servers, worker]);
  }

  async function run(): Promise<void> {
    while (!stopped.signal.aborted) {
      await round();
      await sleep(clock, everyMs, stopped.signal);
    }
  }

  const running = run();
  return {
    readings,
    leftOut,
    async stop() {
      stopped.abort();
      await running;
    },
  };
}
