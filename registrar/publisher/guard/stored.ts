import { decodeSnapshotFound, type SnapshotFound } from "../../../contract/holds.ts";
import { serviceKey } from "../../../contract/redis-keys.ts";
import { decodeRegistration, type Registration } from "../../../contract/registration.ts";
import { messageOf } from "../../../kernel/errors.ts";
import type { Log } from "../../../node/log.ts";
import type { Belief } from "../belief.ts";
import type { CatalogState } from "../catalog-state.ts";
import { readTexts } from "../read-script.ts";
import type { SnapshotStore } from "../store.ts";
import { LEASE_CAUSE, MISSING_CAUSE, type Departure } from "./departure.ts";
import type { HoldFound } from "./guard.ts";

/** Of one answer from Redis, all of whose documents are in memory at a time. A snapshot that is larger comes alone. */
const PAGE_BYTES_MAX = 1024 * 1024;
const PAGE_KEYS_MAX = 200;

export interface StoredOptions {
  readonly namespace: string;
  /** Those whose snapshots may be in Redis. */
  readonly services: Iterable<string>;
  readonly store: SnapshotStore;
  readonly catalog: Pick<CatalogState, "registrations" | "departed" | "revision">;
  readonly belief: Belief;
  readonly log: Log;
}

/** What Redis still publishes and etcd has no more. */
export interface StoredDifference {
  readonly holds: readonly HoldFound[];
  readonly departures: readonly Departure[];
}

/**
 * Compares what the last leader published with the catalog, a page at a time. To be called once nobody else can write
 * there. An instance that is served in Redis, and in etcd missing or down, departed while nobody led; what this process
 * saw to be on purpose is left out. Rejects when Redis cannot be reached.
 */
export async function compareWithStored(options: StoredOptions): Promise<StoredDifference> {
  const { namespace, store } = options;
  const holds: HoldFound[] = [];
  const departures: Departure[] = [];
  const services = [...options.services];
  for (let from = 0; from < services.length;) {
    const page = services.slice(from, from + PAGE_KEYS_MAX);
    const keys = page.map((service) => serviceKey(namespace, service));
    const texts = await readTexts(store, keys, PAGE_BYTES_MAX);
    for (const [index, text] of texts.entries()) {
      const service = page[index] ?? "";
      const found = text === "" ? undefined : await read(text, service, options);
      if (found) compare(options, service, found, { holds, departures });
    }
    from += texts.length;
  }
  return { holds, departures };
}

function compare(
  { namespace, catalog }: StoredOptions,
  service: string,
  { etcdRevision, instances, holds }: SnapshotFound,
  difference: { readonly holds: HoldFound[]; readonly departures: Departure[] },
): void {
  const registrations = catalog.registrations(namespace, service);
  for (const stored of instances) {
    const { id, status } = stored;
    const now = registrations.get(id);
    // What was draining was on its way out, and what was down was not served.
    const wasServed = status === "up" || status === "suspect";
    if (!wasServed || (now !== undefined && now.status !== "down")) continue;
    const registration = readInstance(stored);
    if (registration === undefined) continue;
    const hold = status === "suspect" ? holds.find((one) => one.id === id) : undefined;
    if (hold !== undefined) {
      difference.holds.push({ service, hold, registration });
      continue;
    }
    const departed = now === undefined ? catalog.departed({ namespace, service, instance: id }) : undefined;
    // An earlier departure is not the one that took it: it was registered and published since.
    const seen = departed && departed.revision > etcdRevision ? departed : undefined;
    if (seen?.planned) continue;
    difference.departures.push({
      type: now ? "down" : seen ? "lost" : "missing",
      service,
      registration,
      cause: now ? (now.cause ?? "down") : seen ? LEASE_CAUSE : MISSING_CAUSE,
      revision: catalog.revision(),
      ...(departed?.forgotten ? { forgotten: true } : {}),
      ...(seen?.owner ? { owner: seen.owner } : {}),
    });
  }
}

async function read(
  text: string,
  service: string,
  { namespace, belief, log }: StoredOptions,
): Promise<SnapshotFound | undefined> {
  try {
    if (!(await belief("service", namespace, service, text))) {
      log.warn({ namespace, service }, "A snapshot in Redis has expired or no known signature: nothing is held of it");
      return undefined;
    }
    return decodeSnapshotFound(text, namespace, service);
  } catch (error) {
    log.warn({ namespace, service }, `A snapshot in Redis cannot be compared with etcd: ${messageOf(error)}`);
    return undefined;
  }
}

/** As it was registered; undefined when it could not have been. */
function readInstance({ cause: _cause, ...stored }: SnapshotFound["instances"][number]): Registration | undefined {
  try {
    return decodeRegistration(JSON.stringify({ ...stored, status: "up" }), stored.id);
  } catch {
    // Whoever may write to Redis may write anything: what is no registration is not held on to.
    return undefined;
  }
}
