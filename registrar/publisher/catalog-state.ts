import { parseInstanceKey } from "../../contract/etcd-keys.ts";
import { decodeRegistration, type Registration } from "../../contract/registration.ts";
import type { KeyValue, WatchEvent } from "../etcd/port.ts";

/** The services of each namespace whose registrations changed. */
export type Changes = ReadonlyMap<string, ReadonlySet<string>>;

/** Registrations by instance id. */
export type Registrations = ReadonlyMap<string, Registration>;

/** What etcd holds, as it was last told: the whole by `restore`, then what changes by `apply`. */
export interface CatalogState {
  /** Replaces everything; the answer is what differs from before. */
  restore(entries: readonly KeyValue[], revision: number): Changes;
  apply(events: readonly WatchEvent[], revision: number): Changes;
  /** Of the last `restore` or `apply`; 0 before the first. */
  revision(): number;
  /** Those with a service now. */
  namespaces(): Iterable<string>;
  services(namespace: string): Iterable<string>;
  /** Empty for a service that has none. */
  registrations(namespace: string, service: string): Registrations;
  /** Values that are now in etcd under an instance's key without being a registration. They are left out. */
  undecodable(): number;
}

type Services = Map<string, Map<string, Registration>>;

const none: Registrations = new Map();

/**
 * `onUndecodable` is told the key of a value that cannot be read when it is met first, not at each list. A registration
 * put again as it was is no change: a fleet that registers again after a fault costs the edge nothing.
 */
export function createCatalogState(onUndecodable: (key: string) => void): CatalogState {
  let namespaces = new Map<string, Services>();
  let undecodable = new Set<string>();
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

  return {
    restore(entries, revision) {
      const before = namespaces;
      const stillUndecodable = new Set<string>();
      namespaces = new Map();
      for (const entry of entries) {
        const ref = parseInstanceKey(entry.key);
        if (ref === undefined) continue;
        const registration = read(entry, ref.instance);
        if (registration === undefined) stillUndecodable.add(entry.key);
        else put(namespaces, ref.namespace, ref.service, registration);
      }
      undecodable = stillUndecodable;
      revisionApplied = revision;
      return difference(before, namespaces);
    },
    apply(events, revision) {
      const changes = new Map<string, Set<string>>();
      for (const { type, entry } of events) {
        const ref = parseInstanceKey(entry.key);
        if (ref === undefined) continue;
        const registration = type === "put" ? read(entry, ref.instance) : undefined;
        if (type === "put" && registration === undefined) undecodable.add(entry.key);
        else undecodable.delete(entry.key);
        const held = namespaces.get(ref.namespace)?.get(ref.service)?.get(ref.instance);
        if (isSame(held, registration)) continue;
        if (registration === undefined) remove(namespaces, ref.namespace, ref.service, ref.instance);
        else put(namespaces, ref.namespace, ref.service, registration);
        addChange(changes, ref.namespace, ref.service);
      }
      revisionApplied = revision;
      return changes;
    },
    revision: () => revisionApplied,
    namespaces: () => namespaces.keys(),
    services: (namespace) => namespaces.get(namespace)?.keys() ?? [],
    registrations: (namespace, service) => namespaces.get(namespace)?.get(service) ?? none,
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

function difference(before: ReadonlyMap<string, Services>, after: ReadonlyMap<string, Services>): Changes {
  const changes = new Map<string, Set<string>>();
  for (const namespace of new Set([...before.keys(), ...after.keys()])) {
    const servicesBefore = before.get(namespace);
    const servicesAfter = after.get(namespace);
    for (const service of new Set([...(servicesBefore?.keys() ?? []), ...(servicesAfter?.keys() ?? [])])) {
      if (!areSame(servicesBefore?.get(service) ?? none, servicesAfter?.get(service) ?? none)) {
        addChange(changes, namespace, service);
      }
    }
  }
  return changes;
}

function areSame(a: Registrations, b: Registrations): boolean {
  return a.size === b.size && [...a].every(([id, registration]) => isSame(registration, b.get(id)));
}

/** Both come from the same decoder, which gives the fields in one order; only metadata keeps the writer's. */
function isSame(a: Registration | undefined, b: Registration | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && JSON.stringify(a) === JSON.stringify(b));
}

function addChange(changes: Map<string, Set<string>>, namespace: string, service: string) {
  let services = changes.get(namespace);
  if (services === undefined) changes.set(namespace, (services = new Set()));
  services.add(service);
}
