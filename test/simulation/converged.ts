import { parseInstanceKey } from "../../contract/etcd-keys.ts";
import { decodeCatalog } from "../../contract/catalog.ts";
import { decodeHead } from "../../contract/head.ts";
import { serviceOfKey } from "../../contract/redis-keys.ts";
import { decodeRegistration, type Registration } from "../../contract/registration.ts";
import { decodeSnapshot, type ServiceSnapshot } from "../../contract/snapshot.ts";
import { NAMESPACE } from "./ledger.ts";
import { BEGIN_MS } from "./process.ts";
import { keyOf, type World } from "./world.ts";

/** A heartbeat comes every two seconds, and is confirmed at once when all is well. */
const CONFIRMED_MS_MAX = 5000;

/**
 * Whether Redis is what etcd says, and every resolver what Redis says, byte by byte. While instances may be held
 * (`mayHold`), what is suspect must not be in etcd, or be down there.
 */
export async function checkConverged(world: World, mayHold: boolean): Promise<void> {
  const { redis, report, truth } = world;
  const broken = (text: string) => report("convergence", `${mayHold ? "" : "after all holds: "}${text}`);
  const text = redis.get(keyOf("head"));
  if (text === undefined) return broken("Redis has no head");
  const head = decodeHead(text, NAMESPACE);
  if (!head.complete) broken("the head is not complete");
  const confirmedMsAgo = world.timeline.nowMs() - (head.confirmedAt - BEGIN_MS) - world.slackMs();
  if (confirmedMsAgo > CONFIRMED_MS_MAX) broken(`etcd was confirmed ${confirmedMsAgo} ms ago`);

  const registrations = registrationsIn(world);
  const snapshots = new Map<string, ServiceSnapshot>();
  for (const key of redis.keys()) {
    const service = serviceOfKey(NAMESPACE, key);
    if (service === undefined) continue;
    try {
      snapshots.set(service, decodeSnapshot(redis.get(key) ?? "", NAMESPACE, service));
    } catch {
      // What somebody has written under the name of a service that nobody knows is nobody's.
      if (registrations.has(service)) broken(`${service} in Redis is no snapshot`);
    }
  }
  for (const service of new Set([...registrations.keys(), ...snapshots.keys()])) {
    const has = registrations.get(service) ?? new Map<string, Registration>();
    const told = new Map((snapshots.get(service)?.instances ?? []).map((instance) => [instance.id, instance]));
    for (const id of new Set([...has.keys(), ...told.keys()])) {
      const [is, tells] = [has.get(id), told.get(id)];
      const isHeld = tells?.status === "suspect" && (is === undefined || is.status === "down");
      if (isHeld && mayHold && truth.spells(service).has(id)) continue;
      if (JSON.stringify(is) !== JSON.stringify(tells)) {
        broken(`${id} is ${is?.status ?? "not"} in etcd, and ${tells?.status ?? "not"} in Redis`);
      }
    }
  }

  const alive = [...snapshots.values()].filter(({ instances }) => instances.length > 0);
  const names = alive.map(({ service }) => service).toSorted();
  const catalog = decodeCatalog(redis.get(keyOf("catalog")) ?? "", NAMESPACE);
  if (JSON.stringify([...catalog.services.keys()]) !== JSON.stringify(names)) {
    broken(`the catalog has ${[...catalog.services.keys()].join()} and not ${names.join()}`);
  }
  const instances = alive.reduce((sum, one) => sum + one.instances.length, 0);
  if (head.services !== names.length || head.instances !== instances) {
    broken(`the head counts ${head.services} and ${head.instances}, and not ${names.length} and ${instances}`);
  }
  await checkReaders(world, snapshots, broken);
}

/** Whether there is a whole head, and who wrote it lately. */
export function checkPublished(world: World): void {
  const { redis, report, timeline } = world;
  const text = redis.get(keyOf("head"));
  const head = text === undefined ? undefined : decodeHead(text, NAMESPACE);
  const writtenMsAgo = timeline.nowMs() - ((head?.heartbeatAt ?? 0) - BEGIN_MS) - world.slackMs();
  if (!head?.complete || writtenMsAgo > CONFIRMED_MS_MAX) report("convergence", "nobody publishes again");
}

function registrationsIn({ etcd }: World): Map<string, Map<string, Registration>> {
  const services = new Map<string, Map<string, Registration>>();
  for (const { key, value } of etcd.entries(`/fingerpost/${NAMESPACE}/`)) {
    const ref = parseInstanceKey(key);
    if (!ref) continue;
    const own = services.get(ref.service) ?? new Map<string, Registration>();
    services.set(ref.service, own.set(ref.instance, decodeRegistration(value, ref.instance)));
  }
  return services;
}

async function checkReaders(
  { isolates }: World,
  snapshots: ReadonlyMap<string, ServiceSnapshot>,
  broken: (text: string) => void,
): Promise<void> {
  const asked: Promise<void>[] = [];
  for (const [name, isolate] of isolates) {
    for (const [service, { tombstoneUntil: _tombstoneUntil, ...snapshot }] of snapshots) {
      const compare = async () => {
        const { status, body } = await isolate.ask(service);
        if (status === 404 && snapshot.instances.length === 0) return;
        if (status !== 200 || body !== JSON.stringify(snapshot)) {
          broken(`${name} answers ${status} for ${service}: ${body} and Redis has ${JSON.stringify(snapshot)}`);
        }
      };
      asked.push(compare());
    }
  }
  await Promise.all(asked);
}
