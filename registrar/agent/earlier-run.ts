import { parseInstanceKey } from "../../contract/etcd-keys.ts";
import { decodeRegistration, encodeRegistration } from "../../contract/registration.ts";
import type { Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import type { Etcd, KeyValue } from "../etcd/port.ts";
import { withStatus, type Held } from "./held.ts";
import type { Instances } from "./instances.ts";
import type { LeasePool, PoolLease } from "./lease-pool.ts";
import type { LivenessWatch } from "./liveness.ts";
import { agentRecord, recordOf, type AgentState, type StateRecord } from "./state/records.ts";
import { startTakeUp } from "./take-up.ts";

/** How long what nobody answers for yet has until it is registered again. Services of a few minutes' rhythm are rare. */
const UNCLAIMED_MS = 60_000;

const UNKNOWN = { liveness: { type: "heartbeat", ttlSeconds: UNCLAIMED_MS / 1000 }, source: "api" } as const;

export interface EarlierRunOptions {
  readonly state: AgentState;
  readonly etcd: Etcd;
  readonly pool: LeasePool;
  readonly instances: Instances;
  readonly liveness: LivenessWatch;
  readonly agent: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What an earlier run of this agent has left, until it is this run's or is known to be gone. */
export interface EarlierRun {
  /** Resolves once it is settled, or on `close`. */
  settled(): Promise<void>;
  /** Leases that are still to be taken up. */
  pending(): number;
  /** A sign of life of an instance that is up; true when it was one of these, whose time is then seen to here. */
  beat(held: Held): boolean;
  close(): Promise<void>;
}

/**
 * Takes up an earlier run. What etcd has under its leases goes on as it stands there. What it does not have under them,
 * because a lease has ended or the key was deleted, waits for a sign of life and is then put again, as after a lost
 * lease; from the state alone nothing is ever put, as it may be older than the end of the instance.
 */
export function resumeEarlierRun(options: EarlierRunOptions): EarlierRun {
  const { state, etcd, pool, instances, liveness, agent, clock, random, log } = options;
  const { stored, journal } = state;
  let { behind } = stored;

  for (const [key, { type: _type, liveness: by, source, value, ...ref }] of stored.instances) {
    try {
      const registration = decodeRegistration(value, ref.instance);
      const position = { type: "recorded", beaten: false } as const;
      instances.add({ ref, key, liveness: by, source, registration, value, position, confirmed: true });
    } catch (error) {
      log.error({ key, error: messageOf(error) }, "instance of an earlier run is left out: it is no registration");
    }
  }
  // From here on the instances have it.
  stored.instances.clear();

  function* records(): Generator<StateRecord> {
    yield agentRecord(agent, behind);
    yield* takeUp.records();
    yield* pool.records();
    for (const held of instances.all()) if (held.confirmed) yield recordOf(held);
  }

  function onFound(lease: PoolLease, entry: KeyValue): void {
    try {
      resume(lease, entry);
    } catch (error) {
      pool.release(lease, entry.key);
      log.warn({ key: entry.key, error: messageOf(error) }, "on a lease of an earlier run, and left there");
    }
  }

  function resume(lease: PoolLease, { key, value, modRevision }: KeyValue): void {
    const ref = parseInstanceKey(key);
    if (!ref) throw new Error("its key is not an instance's");
    const registration = decodeRegistration(value, ref.instance);
    const position = { type: "written", lease, modRevision } as const;
    const known = instances.get(key);
    if (known && !isRegisteredAnew(known)) {
      const changed = known.value !== value;
      Object.assign(known, { registration, value, position });
      if (changed) instances.note(known);
      if (registration.status === "down" && known.liveness.type === "heartbeat") liveness.startGrace(known);
      else liveness.start(known);
      return;
    }
    // What is not in the state was on its way when the earlier run ended, or could not be kept: its service is told to
    // register again, as it would be without state.
    if (known) instances.forget(known);
    const { liveness: by, source } = known ?? UNKNOWN;
    instances.add({ ref, key, liveness: by, source, registration, value, position, confirmed: false });
    liveness.retry(key, UNCLAIMED_MS);
  }

  function onDone(): void {
    for (const held of instances.all()) {
      if (held.position.type !== "recorded") continue;
      const { beaten } = held.position;
      held.position = { type: "dormant" };
      // A state that is behind may hold what was deregistered since, or was registered otherwise. What was draining was
      // on its way out, and its lease has only been ahead of that.
      if (behind || isRegisteredAnew(held) || held.registration.status === "draining") instances.forget(held);
      else if (held.liveness.type === "check") restartCheck(held);
      else if (beaten) wake(held);
      else liveness.startGrace(held);
    }
    if (behind) journal.append(agentRecord(agent, false));
    behind = false;
  }

  /** Down, until the check says otherwise and has that written. */
  function restartCheck(held: Held): void {
    held.registration = withStatus(held.registration, "down", "check");
    held.value = encodeRegistration(held.registration);
    liveness.start(held);
  }

  function wake(held: Held): void {
    instances.loseOne(held);
    liveness.start(held);
  }

  const takeUp = startTakeUp({
    etcd,
    pool,
    journal,
    agent,
    leases: stored.leases.values(),
    after: journal.open(records),
    clock,
    random,
    log,
    onFound,
    onDone,
  });

  return {
    settled: () => takeUp.done(),
    pending: () => takeUp.pending(),
    beat(held) {
      if (held.position.type === "recorded") held.position = { type: "recorded", beaten: true };
      else if (held.position.type === "dormant") wake(held);
      else return false;
      return true;
    },
    close: () => takeUp.close(),
  };
}

/** By this run, when it is still wanted: what lives with its agent, and what the configuration file says. */
function isRegisteredAnew({ liveness, source }: Held): boolean {
  return liveness.type === "none" || source === "file";
}
