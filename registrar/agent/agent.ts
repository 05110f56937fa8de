import { isDeepStrictEqual } from "node:util";
import type { Check } from "../../contract/check.ts";
import { instanceKey, type InstanceRef } from "../../contract/etcd-keys.ts";
import { encodeRegistration, type Registration, type RegistrationRequest } from "../../contract/registration.ts";
import type { Clock } from "../../kernel/clock.ts";
import { within } from "../../kernel/deadline.ts";
import { FingerpostError, messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import type { Etcd, KeyValue } from "../etcd/port.ts";
import { startAudit } from "./audit.ts";
import { isFromFile, isTaken, mustRegister, toCallerError, unavailable } from "./caller-errors.ts";
import { asChecked } from "./causes.ts";
import { createProber, type Probe } from "./checks/prober.ts";
import type { CheckOutcome } from "./checks/outcome.ts";
import { createBeforeTheEnd } from "./before-the-end.ts";
import { createDepartures } from "./departures.ts";
import {
  livenessOf,
  registrationOf,
  toRegistration,
  withStatus,
  type Held,
  type HeldView,
  type Liveness,
  type Source,
} from "./held.ts";
import { resumeEarlierRun } from "./earlier-run.ts";
import { createInstances } from "./instances.ts";
import { createKeyedQueue } from "./keyed-queue.ts";
import { createLeasePool, type LeaseRenewals } from "./lease-pool.ts";
import { leave } from "./leave.ts";
import { listHeld, type HeldPage, type ListRequest } from "./listing.ts";
import { createLivenessWatch } from "./liveness.ts";
import { createRecovery } from "./recovery.ts";
import { withoutState, type AgentState } from "./state/records.ts";
import { createTokenBucket, type TokenBucket } from "./token-bucket.ts";
import { refuseUnfit } from "./unfit.ts";
import { createWrites } from "./writes.ts";

/** What a caller waits for at most: longer than one call to etcd, shorter than most clients wait. */
const OPERATION_BUDGET_MS = 8000;
/** How long `close` waits for writes under way, and how long it spends on leaving. */
const CLOSE_BUDGET_MS = 6000;
const LEAVE_BUDGET_MS = 10_000;
const INSTANCES_MAX = 100_000;
const DRAIN_SECONDS = 30;
/** Re-registrations, of up to 127 instances each: about 2,500 instances a second, a small part of what etcd takes. */
const RECOVERIES_PER_SECOND = 20;

export interface AgentOptions {
  readonly etcd: Etcd;
  readonly leases: LeaseRenewals;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The name of this agent in etcd, of the pattern of names. Stays the same over restarts. */
  readonly agent: string;
  /** How long etcd keeps this agent's instances after it died. Shorter: a slow etcd costs leases. Default 30. */
  readonly leaseTtlSeconds?: number;
  /** How hard etcd finds its work, 0 to 1. A lease granted meanwhile lives for up to twice as long. Default: at ease. */
  readonly strain?: () => number;
  /** How long a draining instance stays before it is removed. Default 30. */
  readonly drainSeconds?: number;
  /** How long a silent instance stays as `down` before it is removed. Default: its own TTL, at least 10 s. */
  readonly downSeconds?: number;
  /** More registrations than this are refused with `resource_exhausted`. Default 100,000. */
  readonly instancesMax?: number;
  /** Makes one check of an instance. Default: over the network. */
  readonly probe?: Probe;
  /** Checks under way at a time. Fewer: a crowd that hangs delays the others' checks. Default 256. */
  readonly checksRunningMax?: number;
  /** A check has ended. */
  readonly onCheck?: (type: Check["type"], result: CheckOutcome["type"]) => void;
  /** Paces re-registration after lost leases. Default: 20 transactions a second. */
  readonly bucket?: TokenBucket;
  /** Default: nothing outlives this process, and nothing is taken up. */
  readonly state?: AgentState;
}

interface Registered extends HeldView {
  /** Whether the instance was not in etcd before. */
  readonly created: boolean;
}

export interface AgentCounts {
  readonly instances: number;
  readonly leases: number;
  /** The term of a lease that is granted now. */
  readonly leaseTtlSeconds: number;
  /** Instances that wait to be put again after their lease was lost. */
  readonly recovering: number;
  /** Writes waiting or under way. */
  readonly pendingWrites: number;
  /** Instances that are checked, checks under way, and checks that are due and wait for their turn. */
  readonly checks: { readonly instances: number; readonly running: number; readonly waiting: number };
  /** Leases of an earlier run that are not taken up yet. Writes wait for them. */
  readonly takingUp: number;
}

/**
 * Registers instances in etcd and keeps them there while their heartbeats come. Every write is answered when etcd has
 * it. All rejections are FingerpostErrors: `unavailable` when etcd was not reached in time (the write may or may not
 * have taken place; the same call again is right in both cases), `not_found` for an instance that must register,
 * `resource_exhausted` past a bound, `conflict` when other agents keep writing the same instance.
 */
export interface Agent {
  /**
   * Makes or replaces a registration. One that changes nothing is not written, and counts as a heartbeat. `liveness` is
   * what the request says unless given: `none` is for those who live and die with this process or its configuration.
   * What the file has registered only the file changes: everybody else is refused with `conflict`.
   */
  register(ref: InstanceRef, request: RegistrationRequest, liveness?: Liveness, source?: Source): Promise<Registered>;
  /** The same, and leaves an instance that another agent has to that: it rejects with `conflict`. */
  registerIfFree: Agent["register"];
  /** Puts an instance that is down up again; otherwise writes nothing. Of a checked one it only tells that it is held. */
  heartbeat(ref: InstanceRef): Promise<void>;
  /** Puts the instance as `draining`; it is removed after a grace time, unless it registers again. */
  drain(ref: InstanceRef): Promise<void>;
  /** Removes it. One that is not held here, or that another agent has by now, is left as it is. */
  deregister(ref: InstanceRef, source?: Source): Promise<void>;
  /** Those that the file has registered. */
  fromFile(): readonly InstanceRef[];
  list(request: ListRequest): HeldPage;
  counts(): AgentCounts;
  /**
   * Waits for what is under way. The leases are left to end by themselves, so that the next start within their TTL
   * takes the instances over without a gap; with `leave` every instance is deregistered, as far as the time allows.
   */
  close(options: { readonly leave: boolean }): Promise<void>;
}

export function createAgent(options: AgentOptions): Agent {
  const { etcd, leases, clock, random, log, agent, strain = () => 0 } = options;
  const { leaseTtlSeconds = 30, drainSeconds = DRAIN_SECONDS, instancesMax = INSTANCES_MAX } = options;
  const bucket =
    options.bucket ?? createTokenBucket({ clock, ratePerSecond: RECOVERIES_PER_SECOND, burst: RECOVERIES_PER_SECOND });
  const { state = withoutState() } = options;
  const ttlSecondsNow = () => Math.round(leaseTtlSeconds * (1 + strain()));
  const incarnation = Math.floor(random() * 2 ** 48).toString(36);
  let closing = false;

  const queue = createKeyedQueue({ clock });
  const liveness = createLivenessWatch({
    clock,
    log,
    drainSeconds,
    downSeconds: options.downSeconds,
    random,
    probe: options.probe ?? createProber({ clock }),
    checksRunningMax: options.checksRunningMax,
    onDue: (key) => departures.due(key),
    onCheck: options.onCheck ?? (() => {}),
  });
  const pool = createLeasePool({
    etcd,
    leases,
    clock,
    log,
    agent,
    incarnation,
    leaseTtlSeconds: ttlSecondsNow,
    journal: state.journal,
    onLost: (lease) => instances.lose(lease),
    onTaken: (lease) => instances.forgetAll(lease),
  });
  const writes = createWrites({ etcd, pool, clock, random });
  const recover = (namespace: string, keys: readonly string[]) => recovery.add(namespace, keys);
  const instances = createInstances({
    pool,
    writes,
    journal: state.journal,
    onForget: (key) => liveness.forget(key),
    recover,
  });
  const recovery = createRecovery({
    pool,
    writes,
    beforeTheEnd: createBeforeTheEnd({ etcd, pool, clock, log }),
    queue,
    bucket,
    clock,
    random,
    log,
    find: (key) => instances.get(key),
    onMoved(held) {
      instances.forget(held);
      log.info({ ...held.ref }, "instance has moved to another agent");
    },
  });
  const departures = createDepartures({ instances, queue, liveness, log });
  const audit = startAudit({ etcd, pool, instances, queue, clock, random, log, intervalMs: leaseTtlSeconds * 1000 });

  async function operate<T>(key: string, task: () => Promise<T>): Promise<T> {
    if (closing) throw unavailable("This registrar is shutting down.");
    try {
      return await queue.run(key, OPERATION_BUDGET_MS, async () => {
        await earlier.settled();
        if (earlier.pending() > 0) throw unavailable("This registrar is shutting down.");
        const result = await task();
        // A kill after the answer must lose nothing that was answered.
        await state.journal.flushed();
        return result;
      });
    } catch (error) {
      throw toCallerError(error);
    }
  }

  async function put(
    held: Held,
    registrationAfter: (existing: KeyValue | undefined) => Registration,
    takeOver: boolean,
  ): Promise<boolean> {
    const outcome = await instances.write(held, { registrationAfter, create: true, takeOver });
    if (outcome === "created" || outcome === "replaced") return outcome === "created";
    instances.forget(held);
    throw isTaken(held.ref);
  }

  async function changeStatus(held: Held, status: "up" | "draining"): Promise<void> {
    const changed = withStatus(held.registration, status);
    const create = status === "up";
    const outcome = await instances.write(held, { registrationAfter: () => changed, create, takeOver: false });
    if (outcome === "created" || outcome === "replaced") return;
    instances.forget(held);
    throw mustRegister(held.ref);
  }

  function confirmed(ref: InstanceRef): Held {
    const held = instances.get(instanceKey(ref));
    if (!held?.confirmed) throw mustRegister(ref);
    return held;
  }

  function refuseOther(ref: InstanceRef, source: Source): void {
    if (source === "api" && instances.get(instanceKey(ref))?.source === "file") throw isFromFile(ref);
  }

  function newHeld(ref: InstanceRef, registration: Registration, by: Liveness, source: Source): Held {
    if (instances.size() >= instancesMax) {
      const message = `This registrar holds ${instancesMax} instances and takes no more.`;
      throw new FingerpostError("resource_exhausted", message, { retryAfterSeconds: 60 });
    }
    const value = encodeRegistration(registration);
    const position = { type: "unwritten" } as const;
    return { ref, key: instanceKey(ref), liveness: by, source, registration, value, position, confirmed: false };
  }

  /** Etcd has it as its caller wants it. */
  function claim(held: Held, by: Liveness, source: Source): void {
    if (held.confirmed && held.source === source && isDeepStrictEqual(held.liveness, by)) return;
    held.confirmed = true;
    held.liveness = by;
    held.source = source;
    instances.note(held);
  }

  async function register(
    ref: InstanceRef,
    request: RegistrationRequest,
    by: Liveness,
    source: Source,
    takeOver: boolean,
  ): Promise<boolean> {
    refuseOther(ref, source);
    const key = instanceKey(ref);
    const now = new Date(clock.now()).toISOString();
    const wanted = (registeredAt: string, before?: Registration) => {
      const registration = toRegistration(ref.instance, request, registeredAt);
      return by.type === "check" ? asChecked(registration, before, by.check) : registration;
    };
    const known = instances.get(key);
    if (
      known?.position.type === "written" &&
      encodeRegistration(wanted(known.registration.registeredAt, known.registration)) === known.value
    ) {
      claim(known, by, source);
      if (known.registration.status !== "draining" || !liveness.has(key)) liveness.start(known);
      return false;
    }
    const held = known ?? newHeld(ref, wanted(now), by, source);
    if (!known) instances.add(held);
    try {
      const isThere = known?.confirmed || known?.position.type === "written";
      const registered = isThere ? known.registration : undefined;
      const created = await put(
        held,
        (existing) => {
          const before = registered ?? registrationOf(existing, ref.instance);
          return wanted(before?.registeredAt ?? now, before);
        },
        takeOver,
      );
      claim(held, by, source);
      liveness.start(held);
      return created;
    } catch (error) {
      if (held.position.type === "unwritten") instances.forget(held);
      else if (instances.get(key) === held && !liveness.has(key)) liveness.start(held);
      throw error;
    }
  }

  const earlier = resumeEarlierRun({ state, etcd, pool, instances, liveness, agent, clock, random, log });

  const registering =
    (takeOver: boolean): Agent["register"] =>
    async (ref, request, by = livenessOf(request), source = "api") => {
      refuseUnfit(ref.instance, request, by);
      return await operate(instanceKey(ref), async () => {
        const created = await register(ref, request, by, source, takeOver);
        return { created, ...liveness.viewOf(confirmed(ref)) };
      });
    };

  return {
    register: registering(true),
    registerIfFree: registering(false),

    async heartbeat(ref) {
      const held = confirmed(ref);
      const { status } = held.registration;
      if (status === "draining" || held.liveness.type !== "heartbeat") return;
      if (status === "up" && earlier.beat(held)) return;
      if (status === "up" && held.position.type !== "uncertain") return liveness.start(held);
      await operate(held.key, async () => {
        const current = confirmed(ref);
        if (current.registration.status === "draining") return;
        await changeStatus(current, "up");
        liveness.start(current);
      });
    },

    async drain(ref) {
      await operate(instanceKey(ref), async () => {
        refuseOther(ref, "api");
        const held = confirmed(ref);
        if (held.registration.status === "draining" && held.position.type === "written") return;
        await changeStatus(held, "draining");
        liveness.start(held);
      });
    },

    async deregister(ref, source = "api") {
      await operate(instanceKey(ref), async () => {
        refuseOther(ref, source);
        const held = instances.get(instanceKey(ref));
        if (held) await instances.remove(held);
      });
    },

    fromFile: () => [...instances.all()].filter(({ source }) => source === "file").map(({ ref }) => ref),

    list: (request) => listHeld(instances.all(), (held) => liveness.viewOf(held), request),

    counts: () => ({
      instances: instances.size(),
      leases: pool.all().length,
      leaseTtlSeconds: ttlSecondsNow(),
      recovering: recovery.pending(),
      pendingWrites: queue.pending(),
      checks: liveness.checks(),
      takingUp: earlier.pending(),
    }),

    async close(how) {
      closing = true;
      try {
        const underWay = Promise.all([
          liveness.close(),
          earlier.close(),
          departures.close(),
          audit.close(),
          recovery.close(),
          queue.idle(),
        ]);
        await within(
          clock,
          CLOSE_BUDGET_MS,
          "ending the writes under way",
          underWay.then(() => undefined),
        );
        if (how.leave) await leave({ pool, instances, writes, clock, log, budgetMs: LEAVE_BUDGET_MS });
      } catch (error) {
        log.warn({ error: messageOf(error) }, "agent closed with writes still under way");
      }
      await pool.close({ revoke: how.leave });
      // What is left of them ends with its lease: it is not for the next start to take up.
      if (how.leave) for (const held of instances.all()) instances.forget(held);
      await state.journal.flushed();
    },
  };
}
