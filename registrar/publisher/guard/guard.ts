import type { Hold } from "../../../contract/holds.ts";
import type { Instance } from "../../../contract/snapshot.ts";
import type { Clock } from "../../../kernel/clock.ts";
import type { Log } from "../../../node/log.ts";
import type { CatalogState, Registrations } from "../catalog-state.ts";
import type { Departure } from "./departure.ts";
import { agentReturned, probed, type Evidence, type Exit, type HeldInstance, type ProbeResult } from "./hold.ts";
import { CATALOG_DEPARTURES_MIN, ELAPSED_PART_MAX, SERVICE_DEPARTURES_MIN, type GuardSettings } from "./limits.ts";
import { createDepartureWindow } from "./window.ts";

/** Why departures were held: too many of the namespace or of the service, or the last of a service. */
export type HeldBecause = "etcd restored" | "catalog budget" | "service budget" | "last instances";

export interface GuardHooks {
  readonly onDepartures?: (outcome: "passed" | "held", count: number) => void;
  readonly onExit?: (exit: Exit) => void;
}

export interface GuardOptions extends GuardHooks {
  readonly namespace: string;
  readonly settings: GuardSettings;
  readonly catalog: Pick<CatalogState, "registrations" | "sentinels">;
  /** How many instances of the namespace are published. */
  readonly published: () => number;
  readonly clock: Pick<Clock, "now" | "monotonic">;
  readonly log: Log;
}

/** A hold that a former leader made, with the registration it published. */
export interface HoldFound {
  readonly service: string;
  readonly hold: Hold;
  readonly registration: HeldInstance["registration"];
}

export interface GuardBudget {
  /** Instances that departed unplanned within the window and have not come back, held or not. */
  readonly departed: number;
  readonly departedMax: number;
}

/**
 * Decides which unplanned departures of one namespace are published, and holds the others back until one of the exits.
 * Pure but for its clock. Whatever it answers, the names are of services whose published instances are now others.
 */
export interface Guard {
  /** Judges departures; the services with something held. Those of one revision are judged together. */
  observe(departures: readonly Departure[]): void;
  /** Ends the holds of instances that are registered again. To be called for every service that changed. */
  settle(services: Iterable<string>): void;
  /**
   * Takes up what a former leader held, for as long as it had left; one whose time is over ends with the next `tick`.
   * `storedAtMs`: the last moment that is known by that leader's clock. Ours may be hours ahead of it.
   */
  takeUp(found: readonly HoldFound[], storedAtMs: number): void;
  /** Ends holds whose deadline is over or whose agent has come back without them. `confirmedAtMs`: see agentReturned. */
  tick(confirmedAtMs: number): Set<string>;
  probed(service: string, id: string, result: ProbeResult, evidence: Evidence): Set<string>;
  /** Ends all holds, or those of one service, by an operator's word. */
  release(service?: string): Set<string>;
  /** What is published of a service, ordered by id. */
  instances(service: string): readonly Instance[];
  /** What is stored with it; undefined when nothing is held. */
  holds(service: string): readonly Hold[] | undefined;
  /** Those with holds. */
  services(): Iterable<string>;
  /** By instance id. */
  held(service: string): ReadonlyMap<string, Readonly<HeldInstance>>;
  /** A service has no instance that etcd has as up: of its held ones, none goes easily. */
  isLast(service: string): boolean;
  size(): number;
  budget(): GuardBudget;
  /** Forgets everything, exits and all: somebody else leads. */
  reset(): void;
}

const noneHeld: ReadonlyMap<string, HeldInstance> = new Map();

export function createGuard(options: GuardOptions): Guard {
  const { namespace, settings, catalog, published, clock, log, onDepartures, onExit } = options;
  const window = createDepartureWindow({ windowMs: settings.windowSeconds * 1000, clock });
  const holds = new Map<string, Map<string, HeldInstance>>();
  let size = 0;
  /** Since nothing was held; for the line that tells of the end. */
  const exits = new Map<Exit, number>();

  const upIn = (registrations: Registrations) => {
    let up = 0;
    for (const { status } of registrations.values()) if (status === "up") up++;
    return up;
  };
  const registrationsOf = (service: string) => catalog.registrations(namespace, service);
  const isLast = (service: string) => upIn(registrationsOf(service)) === 0;
  const heldOf = (service: string) => holds.get(service) ?? noneHeld;

  function add(service: string, held: HeldInstance): void {
    const own = holds.get(service) ?? new Map<string, HeldInstance>();
    if (!own.has(held.hold.id)) size++;
    holds.set(service, own.set(held.hold.id, held));
  }

  function end(service: string, id: string, exit: Exit): void {
    const own = holds.get(service);
    if (!own?.delete(id)) return;
    if (own.size === 0) holds.delete(service);
    size--;
    exits.set(exit, (exits.get(exit) ?? 0) + 1);
    onExit?.(exit);
    if (size > 0) return;
    log.info({ namespace, exits: Object.fromEntries(exits) }, "Nothing is held back any more");
    exits.clear();
  }

  /** Still gone, and not held yet. */
  const stands = ({ service, registration: { id } }: Departure) => {
    const now = registrationsOf(service).get(id);
    return (now === undefined || now.status === "down") && !heldOf(service).has(id);
  };

  function hold({ service, registration, cause, owner, type, agoMs = 0 }: Departure): void {
    const holdMs = settings.holdSeconds * 1000;
    // A part of a millisecond, which the monotonic clock has, is no time that a stored hold may have.
    const since = Math.round(clock.now() - agoMs);
    add(service, {
      hold: { id: registration.id, cause, since, until: since + holdMs, ...owner },
      registration,
      calledDown: type === "down",
      endsAtMs: clock.monotonic() - agoMs + holdMs,
      refusals: 0,
      failures: 0,
      lastProbe: undefined,
    });
  }

  const catalogBudget = () =>
    Math.max(CATALOG_DEPARTURES_MIN, Math.floor((published() * settings.catalogPercent) / 100));

  /** Those of one revision. */
  function judge(departures: readonly Departure[]): void {
    const byService = Map.groupBy(departures, ({ service }) => service);
    const overCatalog = window.count() + departures.length > catalogBudget();
    const because = new Map<HeldBecause, number>();
    let passed = 0;
    for (const [service, own] of byService) {
      const overService = isOverService(service, own);
      const last = isLast(service);
      for (const departure of own) {
        // An agent that died says nothing about its instances; one that lives and calls them down does.
        const reason = departure.forgotten
          ? "etcd restored"
          : overCatalog
            ? "catalog budget"
            : overService
              ? "service budget"
              : last && departure.type !== "down"
                ? "last instances"
                : undefined;
        if (reason === undefined) {
          passed++;
        } else {
          hold(departure);
          because.set(reason, (because.get(reason) ?? 0) + 1);
        }
      }
      for (const { registration, agoMs } of own) window.add(service, registration.id, agoMs);
    }
    const count = departures.length - passed;
    if (passed > 0) onDepartures?.("passed", passed);
    if (count === 0) return;
    onDepartures?.("held", count);
    const causes = Object.fromEntries(
      [...Map.groupBy(departures, ({ cause }) => cause)].map(([cause, { length }]) => [cause, length]),
    );
    log.warn(
      { namespace, held: count, passed, services: byService.size, causes, because: Object.fromEntries(because) },
      "Instances that departed are held back and served on as suspect",
    );
  }

  function isOverService(service: string, own: readonly Departure[]): boolean {
    const held = heldOf(service);
    const departed = [...window.of(service)];
    const gone = departed.filter((id) => !held.has(id)).length;
    const served = upIn(registrationsOf(service)) + held.size + own.length + gone;
    const budget = Math.max(SERVICE_DEPARTURES_MIN, Math.floor((served * settings.servicePercent) / 100));
    return departed.length + own.length > budget;
  }

  /** Ends what `exitOf` says; the services it concerns. Whether one is a service's last is settled before any goes. */
  function sweep(exitOf: (held: HeldInstance, last: boolean) => Exit | undefined): Set<string> {
    const changed = new Set<string>();
    for (const [service, own] of holds) {
      const last = isLast(service);
      for (const held of own.values()) {
        const exit = exitOf(held, last);
        if (exit === undefined) continue;
        end(service, held.hold.id, exit);
        changed.add(service);
      }
    }
    return changed;
  }

  return {
    observe(departures) {
      for (const [, own] of Map.groupBy(departures, ({ revision }) => revision)) {
        const standing = own.filter(stands);
        if (standing.length > 0) judge(standing);
      }
    },
    settle(services) {
      for (const service of services) {
        const departed = [...window.of(service)];
        const held = holds.get(service);
        if (departed.length === 0 && held === undefined) continue;
        const registrations = registrationsOf(service);
        const isBack = (id: string) => (registrations.get(id)?.status ?? "down") !== "down";
        for (const id of departed) if (isBack(id)) window.remove(service, id);
        for (const id of held?.keys() ?? []) if (isBack(id)) end(service, id, "registered");
      }
    },
    takeUp(found, storedAtMs) {
      const nowMs = clock.now();
      const holdMs = settings.holdSeconds * 1000;
      // Nobody can tell a long time without a leader from clocks that differ, and to believe too much ends every hold.
      const elapsedMs = Math.min(Math.max(0, nowMs - storedAtMs), holdMs * ELAPSED_PART_MAX);
      for (const { service, hold: stored, registration } of found) {
        const ageMs = Math.max(0, storedAtMs + elapsedMs - stored.since);
        // Another leader's settings, or a clock that was set meanwhile, make no hold longer than ours would be.
        const leftMs = Math.min(Math.max(0, stored.until - storedAtMs - elapsedMs), holdMs);
        add(service, {
          hold: { ...stored, since: nowMs - ageMs, until: nowMs + leftMs },
          registration,
          calledDown: stored.cause !== "lease" && stored.cause !== "missing",
          endsAtMs: clock.monotonic() + leftMs,
          refusals: 0,
          failures: 0,
          lastProbe: undefined,
        });
        window.add(service, stored.id, ageMs);
      }
      if (found.length > 0) log.info({ namespace, held: found.length }, "Holding on to what the last leader held back");
    },
    tick(confirmedAtMs) {
      const nowMs = clock.monotonic();
      return sweep((held, last) => {
        if (nowMs >= held.endsAtMs) return "deadline";
        const { agent } = held.hold;
        const presence = agent === undefined ? undefined : catalog.sentinels.presenceOf(agent);
        return agentReturned(held, presence, confirmedAtMs, last) ? "agent-returned" : undefined;
      });
    },
    probed(service, id, result, evidence) {
      const held = holds.get(service)?.get(id);
      if (held === undefined || !probed(held, result, evidence, isLast(service))) return new Set();
      end(service, id, "probes");
      return new Set([service]);
    },
    release(service) {
      const only = service === undefined ? holds.keys() : [service];
      const changed = new Set([...only].filter((name) => holds.has(name)));
      for (const name of changed) for (const id of heldOf(name).keys()) end(name, id, "operator");
      return changed;
    },
    instances(service) {
      const held = heldOf(service);
      const instances: Instance[] = [];
      for (const registration of registrationsOf(service).values()) {
        if (!held.has(registration.id)) instances.push(registration);
      }
      for (const { registration } of held.values()) instances.push({ ...registration, status: "suspect" });
      return instances.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
    },
    holds(service) {
      const held = holds.get(service);
      return held && [...held.values()].map((one) => one.hold).toSorted((a, b) => (a.id < b.id ? -1 : 1));
    },
    services: () => holds.keys(),
    held: heldOf,
    isLast,
    size: () => size,
    budget: () => ({ departed: window.count(), departedMax: catalogBudget() }),
    reset() {
      holds.clear();
      window.clear();
      exits.clear();
      size = 0;
    },
  };
}
