import { createLog } from "../../node/log.ts";
import { createAgent, type Agent } from "../../registrar/agent/agent.ts";
import type { Probe } from "../../registrar/agent/checks/prober.ts";
import { loadState } from "../../registrar/agent/state/directory.ts";
import { createStateFiles, type JournalFile, type StateFiles } from "../../registrar/agent/state/files.ts";
import { createJournal, type Journal } from "../../registrar/agent/state/journal.ts";
import { agentRecord } from "../../registrar/agent/state/records.ts";
import type { Etcd } from "../../registrar/etcd/port.ts";
import type { ManualClock } from "../support/clock.ts";
import { until } from "../support/until.ts";
import type { MemoryEtcd } from "./memory-etcd.ts";

export interface Run {
  readonly agent: Agent;
  readonly journal: Journal;
  /** Steps it has taken: before and after each call to etcd, and each write to its files. */
  steps(): number;
  isDead(): boolean;
  kill(): unknown;
  /** From now on its disk takes nothing; resolves when it has noticed. */
  fillDisk(): Promise<void>;
  /** Leases it renews. */
  readonly renewed: ReadonlySet<string>;
  /** Closes the files that a process of its own would have closed by its end. */
  bury(): Promise<void>;
}

export interface RunOptions {
  readonly dir: string;
  readonly etcd: MemoryEtcd;
  readonly clock: ManualClock;
  /** The step at which its process is killed: nothing that it does from then on has an effect, or an end. */
  readonly diesAtStep?: number;
  readonly probe?: Probe;
}

const SLOW_TURNS = 50;
let runs = 1;

/** One run of an agent with a state directory, as a process would be, on a memory etcd and real files. */
export async function startRun({ dir, etcd, clock, diesAtStep = Infinity, probe }: RunOptions): Promise<Run> {
  let steps = 0;
  let killed = false;
  const isDead = () => killed || steps >= diesAtStep;
  const step = () => {
    if (!isDead()) steps += 1;
    return isDead() ? new Promise<void>(() => {}) : Promise.resolve();
  };
  async function stepping<T>(run: () => Promise<T>): Promise<T> {
    await step();
    const result = await run();
    await step();
    return result;
  }
  const renewed = new Set<string>();
  const leases = {
    add(lease: string, ttlSeconds: number, onLost: (reason: string) => void) {
      renewed.add(lease);
      etcd.add(lease, ttlSeconds, (reason) => {
        renewed.delete(lease);
        if (!isDead()) onLost(reason);
      });
    },
    remove: (lease: string) => void renewed.delete(lease),
    mayHaveEnded: (lease: string) => etcd.mayHaveEnded(lease),
  };
  const calls: Etcd = {
    ...etcd,
    get: (key) => stepping(() => etcd.get(key)),
    transact: (...call) => stepping(() => etcd.transact(...call)),
    grantLease: (ttlSeconds) => stepping(() => etcd.grantLease(ttlSeconds)),
    revokeLease: (lease) => stepping(() => etcd.revokeLease(lease)),
    describeLease: (lease) => stepping(() => etcd.describeLease(lease)),
  };
  const log = createLog("test", "silent");
  // Another incarnation each time.
  const seed = runs++;
  const random = () => (seed * 0.137) % 1;
  const own = dyingFiles(createStateFiles(dir), step, isDead);
  const { files } = own;
  const stored = await loadState(files, log, clock);
  const journal = createJournal({ files, clock, random, log });
  const agent = createAgent({
    etcd: calls,
    leases,
    clock,
    random,
    log,
    agent: "a1",
    state: { stored, journal },
    ...(probe ? { probe } : {}),
  });
  return {
    agent,
    journal,
    renewed,
    steps: () => steps,
    isDead,
    kill: () => (killed = true),
    async fillDisk() {
      own.fill();
      journal.append(agentRecord("a1", false));
      await until("it is behind", () => journal.state().type === "behind");
      await until("it is marked", async () => (await files.read("behind")) !== undefined);
    },
    bury: () => own.close(),
  };
}

/** A kill in the middle of a write leaves half of it. */
function dyingFiles(files: StateFiles, step: () => Promise<void>, isDead: () => boolean) {
  const originals = new Map<JournalFile, JournalFile>();
  let full = false;
  const failIfFull = () => {
    if (full) throw new Error("ENOSPC: no space left on device");
  };
  const of = (file: JournalFile) => originals.get(file) ?? file;
  const dying: StateFiles = {
    ...files,
    async create() {
      await step();
      failIfFull();
      const original = await files.create();
      const file: JournalFile = {
        ...original,
        async append(text) {
          await step();
          // Slower than etcd, so that whoever does not wait for it is ahead of it.
          for (let turn = 0; turn < SLOW_TURNS; turn++) await Promise.resolve();
          failIfFull();
          const going = step();
          if (isDead()) await original.append(text.slice(0, text.length / 2));
          await going;
          await original.append(text);
          await step();
        },
      };
      originals.set(file, original);
      return file;
    },
    async install(file) {
      await step();
      await files.install(of(file));
      await step();
    },
    standing: (file) => files.standing(of(file)),
  };
  const close = async () => {
    await Promise.allSettled([...originals.values()].map((file) => file.close()));
  };
  return { files: dying, close, fill: () => (full = true) };
}
