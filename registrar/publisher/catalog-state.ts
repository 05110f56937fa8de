import { instanceKey, parseInstanceKey, parseSentinelKey, type InstanceRef } from "../../contract/etcd-keys.ts";
import { decodeRegistration, type Registration } from "../../contract/registration.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { KeyValue, WatchEvent } from "../etcd/port.ts";
import { LEASE_CAUSE, MISSING_CAUSE, type Departed, type Departure } from "./guard/departure.ts";
import { GUARD_DEFAULT } from "./guard/limits.ts";
import { createLost, type LostInstance } from "./guard/lost.ts";
import { createSentinels, type LeaseOwner, type Sentinels } from "./guard/sentinels.ts";

/**
 * Departures that are remembered, so that a leader knows what went on purpose while it stood by. As many as the
 * largest catalog this is built for has instances; past it the oldest are forgotten, and count as unplanned.
 */
export const DEPARTED_MAX = 100_000;

/** As etcd has it for a key that ends with no lease. */
const NO_LEASE = "0";

/** What became different in one namespace. */
export interface NamespaceChanges {
  readonly services: Set<string>;
  /** The unplanned ones, by revision. */
  readonly departures: Departure[];
}

/** By namespace. */
export type Changes = ReadonlyMap<string, Readonly<NamespaceChanges>>;

/** Registrations by instance id. */
export type Registrations = ReadonlyMap<string, Registration>;

/** What etcd holds, as it was last told: the whole by `restore`, then what changes by `apply`. */
export interface CatalogState {
  /** A part of a list, as it arrives: it is decoded now, and counts from the `restore` on. The first voids an older list. */
  page(entries: readonly KeyValue[], isFirst: boolean): void;
  /**
   * The pages are everything; the answer is what differs from before. What is gone then is `missing`, and `forgotten`
   * where etcd was `reverted` to a backup.
   */
  restore(revision: number, reverted?: boolean): Changes;
  apply(events: readonly WatchEvent[], revision: number): Changes;
  /** Of the last `restore` or `apply`; 0 before the first. */
  revision(): number;
  /** Those with a service now. */
  namespaces(): Iterable<string>;
  services(namespace: string): Iterable<string>;
  /** Empty for a service that has none. */
  registrations(namespace: string, service: string): Registrations;
  /** What was seen of the departure of an instance that is not there; undefined when nothing was, or too long ago. */
  departed(ref: InstanceRef): Departed | undefined;
  /** Those an instance was seen to depart from, and is not back. */
  departedServices(namespace: string): ReadonlySet<string>;
  /** What was seen to depart unplanned from a namespace, and is not back. */
  lost(namespace: string): readonly LostInstance[];
  readonly sentinels: Pick<Sentinels, "presenceOf">;
  /** Values that are now in etcd under an instance's key without being a registration. They are left out. */
  undecodable(): number;
}

type Services = Map<string, Map<string, Registration>>;

/** What the pages of a list have told so far. */
interface Listing {
  readonly namespaces: Map<string, Services>;
  readonly leases: Map<string, string>;
  readonly undecodable: Set<string>;
  /** Our own keys, the sentinels among them. */
  readonly others: KeyValue[];
}

const newListing = (): Listing => ({ namespaces: new Map(), leases: new Map(), undecodable: new Set(), others: [] });

const none: Registrations = new Map();

/**
 * `onUndecodable` is told the key of a value that cannot be read when it is met first, not at each list. A registration
 * put again as it was is no change: a fleet that registers again after a fault costs the edge nothing. `holdSeconds`: how
 * long the guard holds.
 */
export function createCatalogState(
  onUndecodable: (key: string) => void,
  clock: Pick<Clock, "now" | "monotonic">,
  holdSeconds: number = GUARD_DEFAULT.holdSeconds,
): CatalogState {
  let namespaces = new Map<string, Services>();
  /** By key, the lease each instance is under. */
  let leases = new Map<string, string>();
  let undecodable = new Set<string>();
  /** By key, the latest last. */
  const departed = new Map<string, Departed>();
  /** Goes along with the map. A new iterator each time would first pass over all that has been deleted before. */
  const oldestDeparted = departed.keys();
  const lost = createLost({ keepMs: holdSeconds * 1000, instancesMax: DEPARTED_MAX, clock });
  const sentinels = createSentinels(clock);
  /** Of the list that is arriving. */
  let listing = newListing();
  let revisionApplied = 0;

  function read({ key, value }: KeyValue, id: string): Registration | undefined {
    try {
      return decodeRegistration(value, id);
    } catch {
      // The reason is dropped on purpose: it may quote the value, and anyone may have written that.
      if (!undecodable.has(key)) onUndecodable(key);
      return undefined;
    }
  }

  function remember(key: string, departure: Departed): void {
    departed.delete(key);
    lost.delete(key);
    departed.set(key, departure);
    if (departed.size > DEPARTED_MAX) departed.delete(oldestDeparted.next().value as string);
  }

  /** What the deletion of `held` at `revision` was, given the leases that ended in it. */
  function departureOf(
    { service, key, held, revision }: { service: string; key: string; held: Registration; revision: number },
    ended: ReadonlyMap<string, LeaseOwner>,
  ): Departure | undefined {
    const lease = leases.get(key) ?? NO_LEASE;
    const owner = ended.get(lease);
    // A lease whose sentinel somebody has taken away may end at any revision, and shows nothing of it.
    const leaseLives = owner === undefined && sentinels.ownerOf(lease) !== undefined;
    const planned = lease === NO_LEASE || leaseLives || held.status === "draining";
    remember(key, { planned, revision, ...(owner ? { owner } : {}) });
    if (planned || held.status !== "up") return undefined;
    return { type: "lost", service, registration: held, cause: LEASE_CAUSE, revision, ...(owner ? { owner } : {}) };
  }

  /** One revision, whole: the end of a lease deletes its sentinel and its instances in any order. */
  function applyRevision(events: readonly WatchEvent[], revision: number, changes: Map<string, NamespaceChanges>) {
    const ended = new Map<string, LeaseOwner>();
    for (const { type, entry } of events) {
      const sentinel = type === "delete" ? parseSentinelKey(entry.key) : undefined;
      if (sentinel) ended.set(sentinel.lease, sentinels.ownerOf(sentinel.lease) ?? { agent: sentinel.agent });
    }
    for (const event of events) {
      const { type, entry } = event;
      const { key } = entry;
      sentinels.apply(event);
      const ref = parseInstanceKey(key);
      if (ref === undefined) continue;
      const { namespace, service, instance } = ref;
      const registration = type === "put" ? read(entry, instance) : undefined;
      if (type === "put" && registration === undefined) undecodable.add(key);
      else undecodable.delete(key);
      const held = namespaces.get(namespace)?.get(service)?.get(instance);
      // Also where the registration stays as it was: it may have moved to another lease.
      if (type === "put") leases.set(key, entry.lease);
      if (registration !== undefined) departed.delete(key);
      if (registration !== undefined || type === "delete") lost.delete(key);
      if (!isSame(held, registration)) {
        const { services, departures } = changesOf(changes, namespace);
        services.add(service);
        let departure: Departure | undefined;
        if (registration !== undefined) {
          put(namespaces, namespace, service, registration);
          departure = downDeparture(service, held, registration, revision, sentinels.ownerOf(entry.lease));
        } else if (held !== undefined) {
          remove(namespaces, namespace, service, instance);
          if (type === "delete") departure = departureOf({ service, key, held, revision }, ended);
          // Nobody took away what cannot be read any more: its agent may be newer than this. That it is there says nothing.
          else if (held.status === "up") departure = missingDeparture(service, held, revision, false, undefined);
        }
        if (departure) {
          departures.push(departure);
          if (departure.type !== "down") lost.add(key, departure);
        }
      }
      if (type === "delete") leases.delete(key);
    }
  }

  return {
    page(entries, isFirst) {
      if (isFirst) listing = newListing();
      for (const entry of entries) {
        const ref = parseInstanceKey(entry.key);
        if (ref === undefined) {
          listing.others.push(entry);
          continue;
        }
        const registration = read(entry, ref.instance);
        if (registration === undefined) {
          listing.undecodable.add(entry.key);
        } else {
          // Compared here, a page at a time, and not all at once when the list is whole. What stays is one object, not two.
          const held = namespaces.get(ref.namespace)?.get(ref.service)?.get(ref.instance);
          const kept = held !== undefined && isSame(held, registration) ? held : registration;
          put(listing.namespaces, ref.namespace, ref.service, kept);
          listing.leases.set(entry.key, entry.lease);
        }
      }
    },
    restore(revision, reverted = false) {
      const before = namespaces;
      const leasesBefore = leases;
      const ownerBefore = (ref: InstanceRef) => sentinels.ownerOf(leasesBefore.get(instanceKey(ref)) ?? "");
      const { others } = listing;
      ({ namespaces, leases, undecodable } = listing);
      listing = newListing();
      for (const key of departed.keys()) {
        if (!leases.has(key)) continue;
        departed.delete(key);
        lost.delete(key);
      }
      // Of another history: its revisions say nothing about this one's.
      if (reverted) departed.clear();
      const isFirst = revisionApplied === 0 || reverted;
      revisionApplied = revision;
      const changes = difference(before, namespaces, revision, reverted, ownerBefore);
      for (const [namespace, { departures }] of changes) {
        for (const departure of departures) {
          const { type, service, registration, owner } = departure;
          if (type !== "missing") continue;
          const key = instanceKey({ namespace, service, instance: registration.id });
          remember(key, { planned: false, revision, forgotten: reverted, ...(owner ? { owner } : {}) });
          lost.add(key, departure);
        }
      }
      sentinels.restore(others, isFirst);
      return changes;
    },
    apply(events, revision) {
      const changes = new Map<string, NamespaceChanges>();
      for (let from = 0; from < events.length;) {
        const revisionOf = events[from]?.entry.modRevision ?? revision;
        let to = from + 1;
        while (to < events.length && events[to]?.entry.modRevision === revisionOf) to++;
        applyRevision(events.slice(from, to), revisionOf, changes);
        from = to;
      }
      lost.prune();
      revisionApplied = revision;
      return changes;
    },
    revision: () => revisionApplied,
    namespaces: () => namespaces.keys(),
    services: (namespace) => namespaces.get(namespace)?.keys() ?? [],
    registrations: (namespace, service) => namespaces.get(namespace)?.get(service) ?? none,
    departed: (ref) => departed.get(instanceKey(ref)),
    departedServices(namespace) {
      const refs = [...departed.keys()].flatMap((key) => parseInstanceKey(key) ?? []);
      return new Set(refs.filter((ref) => ref.namespace === namespace).map(({ service }) => service));
    },
    lost: (namespace) => lost.of(namespace),
    sentinels,
    undecodable: () => undecodable.size,
  };
}

function put(namespaces: Map<string, Services>, namespace: string, service: string, registration: Registration) {
  let services = namespaces.get(namespace);
  if (services === undefined) namespaces.set(namespace, (services = new Map()));
  let registrations = services.get(service);
  if (registrations === undefined) services.set(service, (registrations = new Map()));
  registrations.set(registration.id, registration);
}

function remove(namespaces: Map<string, Services>, namespace: string, service: string, instance: string) {
  const services = namespaces.get(namespace);
  const registrations = services?.get(service);
  registrations?.delete(instance);
  if (registrations?.size === 0) services?.delete(service);
  if (services?.size === 0) namespaces.delete(namespace);
}

/** What differs, and of what was up, what is missing or down. */
function difference(
  before: ReadonlyMap<string, Services>,
  after: ReadonlyMap<string, Services>,
  revision: number,
  reverted: boolean,
  ownerOf: (ref: InstanceRef) => LeaseOwner | undefined,
): Map<string, NamespaceChanges> {
  const changes = new Map<string, NamespaceChanges>();
  for (const namespace of new Set([...before.keys(), ...after.keys()])) {
    const servicesBefore = before.get(namespace);
    const servicesAfter = after.get(namespace);
    for (const service of new Set([...(servicesBefore?.keys() ?? []), ...(servicesAfter?.keys() ?? [])])) {
      const had = servicesBefore?.get(service) ?? none;
      const has = servicesAfter?.get(service) ?? none;
      if (areSame(had, has)) continue;
      const { services, departures } = changesOf(changes, namespace);
      services.add(service);
      for (const [instance, registration] of had) {
        const owner = ownerOf({ namespace, service, instance });
        const now = has.get(instance);
        const departure = now
          ? downDeparture(service, registration, now, revision, owner)
          : registration.status === "up" && missingDeparture(service, registration, revision, reverted, owner);
        if (departure) departures.push(departure);
      }
    }
  }
  return changes;
}

function missingDeparture(
  service: string,
  registration: Registration,
  revision: number,
  forgotten: boolean,
  owner: LeaseOwner | undefined,
): Departure {
  const departure = { type: "missing", service, registration, cause: MISSING_CAUSE, revision, forgotten } as const;
  return owner ? { ...departure, owner } : departure;
}

/** From up to down. From draining to down nothing is lost: it was on its way out. */
function downDeparture(
  service: string,
  before: Registration | undefined,
  after: Registration,
  revision: number,
  owner: LeaseOwner | undefined,
): Departure | undefined {
  if (before?.status !== "up" || after.status !== "down") return undefined;
  const cause = after.cause ?? "down";
  return { type: "down", service, registration: before, cause, revision, ...(owner ? { owner } : {}) };
}

function areSame(a: Registrations, b: Registrations): boolean {
  return a.size === b.size && [...a].every(([id, registration]) => isSame(registration, b.get(id)));
}

/** Both come from the same decoder, which gives the fields in one order; only metadata keeps the writer's. */
function isSame(a: Registration | undefined, b: Registration | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && JSON.stringify(a) === JSON.stringify(b));
}

function changesOf(changes: Map<string, NamespaceChanges>, namespace: string): NamespaceChanges {
  let own = changes.get(namespace);
  if (own === undefined) changes.set(namespace, (own = { services: new Set(), departures: [] }));
  return own;
}
