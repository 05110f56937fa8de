import { createBackoff } from "../../../kernel/backoff.ts";
import { sleep, type Clock } from "../../../kernel/clock.ts";
import { messageOf } from "../../../kernel/errors.ts";
import type { Random } from "../../../kernel/random.ts";
import type { FleetProcess } from "../fleet/fleet.ts";
import type { WriteEvent } from "../history/event.ts";
import type { Recorder } from "../history/recorder.ts";
import type { Listener } from "./listener.ts";
import type { Action, Placement } from "./plan.ts";
import type { Requests } from "./requests.ts";

/** Without a heartbeat for so long an instance is down, and gone 10 s later: its agent's least grace time. */
export const TTL_SECONDS = 6;
/** Three failures a second apart make it down; gone 10 s later, the least that a check may ask for. */
const CHECK = { type: "tcp", intervalSeconds: 1, timeoutSeconds: 1, deregisterAfterSeconds: 10 } as const;
/** Longer than an agent takes for any answer (8 s), so that silence means that it is gone, paused or cut off. */
const REQUEST_TIMEOUT_MS = 10_000;
/** As patient as services are: a third of the TTL leaves time for another try. */
const BACKOFF = { baseMs: 250, capMs: 2000 };
/** Between two looks at whether there is something to do again; a change wakes it sooner. */
const IDLE_MS = 5000;
/** The version of a registration that was only made to know where the instance is. */
const OUTDATED = 0;
/** Known answers of an agent after which an earlier request that was not answered has been read, and done, before. */
const ANSWERS_AFTER_DOUBT = 2;

const REQUESTS = {
  register: { method: "PUT", suffix: "" },
  heartbeat: { method: "POST", suffix: "/heartbeat" },
  drain: { method: "POST", suffix: "/drain" },
  deregister: { method: "DELETE", suffix: "" },
} as const;

/** What the instance wants, as of the last change; `version` counts changes that need a registration. */
interface Wanted {
  readonly standing: "up" | "draining" | "away";
  readonly version: number;
  readonly agent: number;
  readonly weight: number;
}

/**
 * What its agent has of it, as far as answers tell. `absent`: nothing. `unsure`: a registration was sent, or is asked for
 * again, and nothing else is until its answer says `registered`. `leaving`: the answer to `operation` is waited for, and
 * that is repeated whatever is wanted by now, lest it come after what follows. `draining` until the agent has removed it.
 */
type Standing =
  | { readonly type: "absent" }
  | { readonly type: "unsure"; readonly agent: number }
  | { readonly type: "registered"; readonly agent: number; readonly version: number }
  | { readonly type: "leaving"; readonly agent: number; readonly operation: "drain" | "deregister" }
  | { readonly type: "draining"; readonly agent: number };

export interface Keeper {
  readonly placement: Placement;
  /** Takes connections, and registers. */
  begin(): void;
  act(action: Action): void;
  /** Whether its agent has it as it wants to be had. */
  settled(): boolean;
  /** Ends as a process does that is killed. */
  close(): Promise<void>;
}

export interface KeeperOptions {
  readonly placement: Placement;
  readonly listener: Listener;
  readonly agents: readonly FleetProcess[];
  readonly recorder: Recorder;
  readonly requests: Requests;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * An instance and what keeps it registered, as services do it: registers, sends heartbeats, registers again when its
 * agent does not know it any more. One request at a time. What it is told to be is taken up when the request under way
 * has ended; only a crash ends that, too.
 */
export function createKeeper(options: KeeperOptions): Keeper {
  const { placement, listener, agents, recorder, requests, clock, random } = options;
  const { service, instance } = placement;
  const backoff = createBackoff({ ...BACKOFF, random });
  let wanted: Wanted = { standing: "up", version: 1, agent: placement.agent, weight: 100 };
  let standing: Standing = { type: "absent" };
  let generation = 0;
  let answersOwed = 0;
  let listening = false;
  let closed = false;
  let life = new AbortController();
  let wake = new AbortController();
  let living: Promise<void> = Promise.resolve();
  /** One change is taken up after the other: a crash takes its time. */
  let turn: Promise<void> = Promise.resolve();

  function note(change: "up" | "crashed"): void {
    recorder.record({ type: "instance", at: recorder.at(), service, instance, change });
  }

  /** The status, or undefined where the outcome is not known. */
  async function ask(operation: WriteEvent["operation"], agentIndex: number): Promise<number | undefined> {
    const agent = agents[agentIndex];
    if (!agent) throw new Error(`there is no agent ${agentIndex}`);
    const { method, suffix } = REQUESTS[operation];
    const from = recorder.at();
    const outcome = await requests
      .send({
        method,
        url: `${agent.url}/v1/services/${service}/instances/${instance}${suffix}`,
        ...(operation === "register" ? { body: registration() } : {}),
        timeoutMs: REQUEST_TIMEOUT_MS,
        signal: life.signal,
      })
      .then(
        ({ status }) => ({ status }),
        (error: unknown) => ({ error: life.signal.aborted ? "the instance crashed" : messageOf(error) }),
      );
    const to = recorder.at();
    const asked = { operation, agent: agent.name, service, instance, generation, from, to };
    // Cut off by the end of the run, and not by a crash: it has no outcome to tell.
    if (!closed) recorder.record({ type: "write", ...asked, ...outcome });
    const known = "status" in outcome && outcome.status < 500 ? outcome.status : undefined;
    answersOwed = known === undefined ? ANSWERS_AFTER_DOUBT : Math.max(0, answersOwed - 1);
    return known;
  }

  function registration(): object {
    const common = { address: listener.address, port: listener.port(), protocol: "tcp", weight: wanted.weight };
    const metadata = { generation: String(generation) };
    return { ...common, metadata, ...(placement.liveness === "tcp" ? { check: CHECK } : { ttlSeconds: TTL_SECONDS }) };
  }

  async function wait(ms: number): Promise<void> {
    await sleep(clock, ms, AbortSignal.any([life.signal, wake.signal]));
  }

  async function register(agent: number, version: number): Promise<boolean> {
    generation++;
    standing = { type: "unsure", agent };
    const status = await ask("register", agent);
    if (status !== 200 && status !== 201) return false;
    standing = { type: "registered", agent, version };
    return true;
  }

  async function beat(agent: number): Promise<boolean> {
    const status = await ask("heartbeat", agent);
    // One that drained has been removed. Any other may still be in etcd: its agent has only forgotten it.
    if (status === 404) standing = standing.type === "draining" ? { type: "absent" } : { type: "unsure", agent };
    return status === 204 || status === 404;
  }

  async function leave(agent: number, operation: "drain" | "deregister"): Promise<boolean> {
    standing = { type: "leaving", agent, operation };
    const status = await ask(operation, agent);
    if (status === 404) standing = { type: "unsure", agent };
    if (status !== 204) return status === 404;
    // A registration that was sent before, and not answered, might still come after the first answer.
    if (answersOwed === 0) standing = operation === "drain" ? { type: "draining", agent } : { type: "absent" };
    return true;
  }

  /** One request, or one wait; true unless it failed. */
  async function step(): Promise<boolean> {
    const { standing: goal, version, agent } = wanted;
    const now = standing;
    if (now.type === "leaving") return await leave(now.agent, now.operation);
    if (now.type === "absent") {
      if (goal === "up") {
        await startListening();
        return await register(agent, version);
      }
      await stopListening();
      await wait(IDLE_MS);
      return true;
    }
    // Where it may be registered is asked first: what was sent there could undo what is sent elsewhere.
    if (now.type === "unsure") return await register(now.agent, now.agent === agent ? version : OUTDATED);
    if (goal === "up" && (now.type === "draining" || now.version !== version)) return await register(agent, version);
    if (goal === "away") return await leave(now.agent, "deregister");
    if (goal === "draining" && now.type !== "draining") return await leave(now.agent, "drain");
    await wait((TTL_SECONDS * 1000 * (0.9 + random() * 0.1)) / 3);
    return wake.signal.aborted || life.signal.aborted || (await beat(now.agent));
  }

  async function live(): Promise<void> {
    // What it was registered as before a crash it registers anew.
    if (standing.type === "registered" || standing.type === "draining") {
      standing = { type: "unsure", agent: standing.agent };
    }
    await startListening();
    while (!life.signal.aborted) {
      wake = new AbortController();
      if (await step()) backoff.reset();
      else await wait(backoff.next());
    }
  }

  async function startListening(): Promise<void> {
    if (listening) return;
    listening = true;
    await listener.open();
    note("up");
  }

  /** Gone on purpose, and known to be: a process that has nothing to do any more ends. */
  async function stopListening(): Promise<void> {
    if (!listening) return;
    listening = false;
    await listener.close();
  }

  async function end(): Promise<void> {
    life.abort();
    await stopListening();
    await living;
  }

  async function take({ change, agent, weight }: Action): Promise<void> {
    const goal = change === "drain" ? "draining" : change === "deregister" || change === "crash" ? "away" : "up";
    wanted = { standing: goal, version: wanted.version + 1, agent, weight };
    if (change === "crash") {
      note("crashed");
      await end();
    } else if (life.signal.aborted) {
      life = new AbortController();
      living = live();
    } else {
      wake.abort();
    }
  }

  return {
    placement,
    begin() {
      living = live();
    },
    act(action) {
      turn = turn.then(() => take(action));
    },
    settled() {
      if (life.signal.aborted) return true;
      if (wanted.standing === "up") return standing.type === "registered" && standing.version === wanted.version;
      return standing.type === "absent" || standing.type === wanted.standing;
    },
    async close() {
      await turn;
      closed = true;
      await end();
    },
  };
}
