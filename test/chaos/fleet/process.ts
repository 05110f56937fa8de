import { statSync, writeFileSync } from "node:fs";
import { tailOf, untilReady, type Child } from "../../../dev/child.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { DeadlineExceeded, within } from "../../../kernel/deadline.ts";
import type { FleetProcess, LifeChange } from "./fleet.ts";

/** A first start on a machine that starts a dozen others. */
const READY_BUDGET_MS = 45_000;
/** A registrar hands over within a few seconds, and a member of etcd its leadership. */
const END_BUDGET_MS = 20_000;

export interface ProcessOptions<Kind extends FleetProcess["kind"]> {
  readonly name: string;
  readonly kind: Kind;
  readonly url: string;
  readonly logFile: string;
  /** Starts it, and does not wait until it can be asked. */
  readonly launch: (life: number) => Promise<Child>;
  /** Why it cannot be asked yet; undefined once it can. Never rejects. */
  readonly probe: () => Promise<string | undefined>;
  /** After it was paused, or started again. */
  readonly onReturn?: () => void;
  readonly onLife: (change: LifeChange) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
}

type State =
  | { readonly type: "gone" }
  | { readonly type: "running"; readonly child: Child }
  /** By us: SIGCONT, or its end, moves it out. */
  | { readonly type: "paused"; readonly child: Child };

/** A process with a name and an address that stay the same over its lives. Not started yet. */
export function createFleetProcess<Kind extends FleetProcess["kind"]>(
  options: ProcessOptions<Kind>,
): FleetProcess & { readonly kind: Kind } {
  const { name, kind, url, logFile, launch, probe, onReturn, onLife, clock, signal } = options;
  let state: State = { type: "gone" };
  let life = 0;
  /** Until its process is there. */
  let launching: Promise<Child> | undefined;
  let starting: Promise<void> | undefined;
  writeFileSync(logFile, "", { flag: "a" });

  const tell = (change: LifeChange["change"], { pid }: Child) => onLife({ process: name, life, change, pid });

  async function begin(): Promise<Child> {
    life++;
    const child = await launch(life);
    state = { type: "running", child };
    tell("started", child);
    void child.exited.then(() => {
      state = { type: "gone" };
      tell("ended", child);
    });
    return child;
  }

  async function startAnew(): Promise<void> {
    launching = begin().finally(() => (launching = undefined));
    const child = await launching;
    await untilReady(child, { budgetMs: READY_BUDGET_MS, clock, signal, probe });
    tell("ready", child);
    onReturn?.();
  }

  return {
    name,
    kind,
    url,
    logFile,
    life: () => life,
    pid() {
      if (state.type === "gone") throw new Error(`${name} does not run`);
      return state.child.pid;
    },
    state: () => state.type,
    async kill(by = "SIGKILL") {
      // Who started it is told why that failed.
      await launching?.catch(() => undefined);
      if (state.type === "gone") return;
      const { child, type } = state;
      tell("killed", child);
      child.kill(by);
      // A signal that a process handles waits until it goes on.
      if (type === "paused") child.kill("SIGCONT");
      try {
        await within(clock, END_BUDGET_MS, `the end of ${name}`, child.exited);
      } catch (error) {
        child.kill("SIGKILL");
        await child.exited;
        if (error instanceof DeadlineExceeded) throw new Error(`${name} did not end by ${by}`, { cause: error });
        throw error;
      }
    },
    pause() {
      if (state.type !== "running") return;
      const { child } = state;
      state = { type: "paused", child };
      child.kill("SIGSTOP");
      tell("paused", child);
    },
    resume() {
      if (state.type !== "paused") return;
      const { child } = state;
      state = { type: "running", child };
      child.kill("SIGCONT");
      tell("resumed", child);
      onReturn?.();
    },
    start() {
      if (state.type === "gone") starting ??= startAnew().finally(() => (starting = undefined));
      return starting ?? Promise.resolve();
    },
    logBytes: () => statSync(logFile).size,
    logTail: () => tailOf(logFile),
  };
}
