import { instanceKey, type InstanceRef } from "../../contract/etcd-keys.ts";
import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { FingerpostError, messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import type { Agent } from "../agent/agent.ts";
import type { StaticRegistration } from "./parse.ts";

/** Writes at a time: enough to hide a round trip. */
const WRITES_MAX = 8;
/** Between rounds, while etcd is away. */
const BACKOFF = { baseMs: 250, capMs: 5000 };

/** From one look for what another agent took to the next: half of it to one and a half, so that no two keep in step. */
const LOOK_MS = 30_000;

export interface StaticOptions {
  readonly agent: Pick<Agent, "register" | "registerIfFree" | "deregister" | "fromFile">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface StaticStatus {
  /** What the file registers. */
  readonly registrations: number;
  /** Of these, and of those it no longer has: changes that etcd has not got yet. */
  readonly pending: number;
  /** Of these: another agent has taken them. */
  readonly moved: number;
}

/**
 * Makes what the agent holds for the file into what the file says, and goes on, with backoff, until etcd has it. What
 * has not changed is not touched, and so costs etcd nothing. What another agent takes is left to that, and is put again
 * when etcd has it no more.
 */
export interface StaticRegistrations {
  /** From now on the file says this. */
  apply(wanted: readonly StaticRegistration[]): void;
  status(): StaticStatus;
  /** Begins nothing more, and waits for what is under way. */
  close(): Promise<void>;
}

type Change =
  | { readonly type: "register"; readonly key: string; readonly registration: StaticRegistration }
  | { readonly type: "deregister"; readonly key: string; readonly ref: InstanceRef };

export function createStaticRegistrations({ agent, clock, random, log }: StaticOptions): StaticRegistrations {
  let wanted: ReadonlyMap<string, StaticRegistration> = new Map();
  /** As registered, by key: compared with what is wanted. */
  const applied = new Map<string, string>();
  /** Another agent took these, and they are not known to be ours again. */
  const moved = new Set<string>();
  const stop = new AbortController();
  const backoff = createBackoff({ ...BACKOFF, random });
  let changed = new AbortController();
  let running: Promise<void> | undefined;
  let looking: Promise<void> | undefined;
  let told = "";

  function held(): ReadonlyMap<string, InstanceRef> {
    return new Map(agent.fromFile().map((ref) => [instanceKey(ref), ref]));
  }

  function changes(): readonly Change[] {
    const found: Change[] = [];
    for (const [key, registration] of wanted) {
      if (applied.get(key) !== JSON.stringify(registration)) found.push({ type: "register", key, registration });
    }
    for (const [key, ref] of held()) {
      if (!wanted.has(key)) found.push({ type: "deregister", key, ref });
    }
    return found;
  }

  async function make(change: Change): Promise<void> {
    const { key } = change;
    // Between here and the answer it may be either.
    applied.delete(key);
    if (change.type === "deregister") {
      await agent.deregister(change.ref, "file");
      log.info({ ...change.ref }, "instance is not in the file any more, and deregistered");
      return;
    }
    const { ref, request, liveness } = change.registration;
    await agent.register(ref, request, liveness, "file");
    applied.set(key, JSON.stringify(change.registration));
    log.info({ ...ref }, "instance of the file registered");
  }

  /** Whether all of it is done. */
  async function round(todo: readonly Change[]): Promise<boolean> {
    const queue = [...todo];
    let failed = "";
    async function work(): Promise<void> {
      for (let change = queue.pop(); change && !stop.signal.aborted && !changed.signal.aborted; change = queue.pop()) {
        try {
          await make(change);
        } catch (error) {
          failed = messageOf(error);
        }
      }
    }
    await Promise.all(Array.from({ length: WRITES_MAX }, work));
    // Each reason once: the same line every few seconds tells nothing new.
    if (failed !== "" && failed !== told) log.warn({ error: failed }, "the file is not registered yet, trying again");
    told = failed;
    return failed === "";
  }

  async function run(): Promise<void> {
    for (let todo = changes(); todo.length > 0 && !stop.signal.aborted; todo = changes()) {
      changed = new AbortController();
      if (await round(todo)) backoff.reset();
      else await sleep(clock, backoff.next(), AbortSignal.any([stop.signal, changed.signal]));
    }
  }

  function start(): void {
    running ??= run().finally(() => {
      running = undefined;
      // Something may have been asked for after the last look.
      if (!stop.signal.aborted && changes().length > 0) start();
    });
  }

  function taken(): readonly string[] {
    const keys = held();
    return [...applied.keys()].filter((key) => wanted.has(key) && (moved.has(key) || !keys.has(key)));
  }

  async function look(): Promise<void> {
    while (!stop.signal.aborted) {
      await sleep(clock, LOOK_MS * (0.5 + random()), stop.signal);
      // What is on its way is not held either.
      if (stop.signal.aborted || running) continue;
      noteTaken();
      await putWhatIsFree();
      // The file may say otherwise since.
      if (changes().length > 0) start();
    }
  }

  function noteTaken(): void {
    const fresh = taken().filter((key) => !moved.has(key));
    for (const key of fresh) moved.add(key);
    const [first] = fresh;
    if (first === undefined) return;
    log.warn(
      { instances: fresh.length, first: wanted.get(first)?.ref },
      "another agent has taken instances of the file, and they are put again once it has them no more: give each agent other ids, or take them back by SIGHUP",
    );
  }

  async function putWhatIsFree(): Promise<void> {
    for (const key of moved) {
      const registration = wanted.get(key);
      if (!registration || stop.signal.aborted) return;
      const { ref, request, liveness } = registration;
      try {
        await agent.registerIfFree(ref, request, liveness, "file");
        moved.delete(key);
        log.info({ ...ref }, "instance of the file registered again: no other agent has it any more");
      } catch (error) {
        // The other agent has it; or etcd is away, and the rest would only wait for it.
        if (FingerpostError.from(error).code !== "conflict") return;
      }
    }
  }

  return {
    apply(registrations) {
      // What another agent has is taken back now, and not by itself, so that two never contend.
      for (const key of taken()) applied.delete(key);
      moved.clear();
      wanted = new Map(registrations.map((registration) => [instanceKey(registration.ref), registration]));
      changed.abort();
      start();
      looking ??= look();
    },
    status: () => ({
      registrations: wanted.size,
      pending: running ? changes().length : 0,
      moved: running ? moved.size : taken().length,
    }),
    async close() {
      stop.abort();
      await running;
      await looking;
    },
  };
}
