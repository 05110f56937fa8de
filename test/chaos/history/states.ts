import { createClient } from "@redis/client";
import { ETCD_PREFIX, parseInstanceKey } from "../../../contract/etcd-keys.ts";
import type { ServiceAnswer } from "../../../contract/http.ts";
import { serviceKey, serviceOfKey } from "../../../contract/redis-keys.ts";
import { decodeRegistration } from "../../../contract/registration.ts";
import { decodeSnapshot, type Instance } from "../../../contract/snapshot.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { messageOf } from "../../../kernel/errors.ts";
import type { Random } from "../../../kernel/random.ts";
import { createLog } from "../../../node/log.ts";
import { createEtcd } from "../../../registrar/etcd/etcd.ts";
import type { Fleet, FleetProcess, RedisServer } from "../fleet/fleet.ts";
import type { StateEvent } from "./event.ts";
import type { Recorder } from "./recorder.ts";

/** For one question of a resolver, and for Redis' whole answer. */
const TIMEOUT_MS = 3000;
const KEYS_PER_SCAN = 500;
const NAMESPACE = "default";

/** Instances by service; a service without any is the same as none, whoever says it. */
type Services = Readonly<Record<string, string>>;

/** A look at what everybody holds. */
export interface Look {
  readonly states: readonly StateEvent[];
  /** Those that could not be asked, and why. */
  readonly failures: Readonly<Record<string, string>>;
  /** Whether all could be asked and hold the same, byte by byte. */
  readonly agree: boolean;
}

export interface States {
  /** Asks etcd, both Redis servers and all resolvers, at the same moment or nearly, and records what they hold. */
  look(): Promise<Look>;
  /** Its client of etcd counts in etcd's own numbers, and goes on doing so while it is open. */
  close(): Promise<void>;
}

export interface StatesOptions {
  readonly fleet: Fleet;
  readonly recorder: Recorder;
  /** Of the traffic; what else there is shows in etcd and in Redis. */
  readonly services: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
}

export function createStates({ fleet, recorder, services, clock, random }: StatesOptions): States {
  const etcd = createEtcd({
    endpoints: fleet.etcd.members.map(({ url }) => url),
    ...fleet.etcd.root,
    clock,
    random,
    log: createLog("chaos", "silent"),
  });

  async function ofEtcd(): Promise<Services> {
    const found = new Map<string, Instance[]>();
    for await (const { entries } of etcd.list(`${ETCD_PREFIX}${NAMESPACE}/`, new AbortController().signal)) {
      for (const { key, value } of entries) {
        const ref = parseInstanceKey(key);
        if (!ref) continue;
        found.set(ref.service, [...(found.get(ref.service) ?? []), decodeRegistration(value, ref.instance)]);
      }
    }
    return canonical(found);
  }

  async function ofResolver({ url }: FleetProcess): Promise<Services> {
    const found = new Map<string, readonly Instance[]>();
    const headers = { authorization: `Bearer ${fleet.lookupToken}` };
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    await Promise.all(
      services.map(async (service) => {
        const answer = await fetch(`${url}/v1/services/${service}?health=all`, { headers, signal });
        const text = await answer.text();
        if (answer.status === 404) return;
        if (answer.status !== 200) throw new Error(`${service} is answered ${answer.status}: ${text}`);
        found.set(service, (JSON.parse(text) as ServiceAnswer).instances);
      }),
    );
    return canonical(found);
  }

  return {
    async look() {
      const holders: readonly (readonly [string, () => Promise<Services>])[] = [
        ["etcd", ofEtcd],
        ...fleet.redis.servers.map((server) => [server.name, () => ofRedis(server)] as const),
        ...fleet.resolvers.map((resolver) => [resolver.name, () => ofResolver(resolver)] as const),
      ];
      const failures: Record<string, string> = {};
      const looks = holders.map(async ([of, ask]): Promise<StateEvent | undefined> => {
        try {
          return { type: "state", at: recorder.at(), of, services: await ask() };
        } catch (error) {
          failures[of] = messageOf(error);
          return undefined;
        }
      });
      const states = (await Promise.all(looks)).filter((state) => state !== undefined);
      for (const state of states) recorder.record(state);
      const texts = new Set(states.map((state) => JSON.stringify(state.services)));
      return { states, failures, agree: states.length === holders.length && texts.size === 1 };
    },
    close: () => etcd.close(),
  };
}

async function ofRedis({ adminUrl }: RedisServer): Promise<Services> {
  const client = createClient({
    url: adminUrl,
    commandOptions: { timeout: TIMEOUT_MS },
    socket: { reconnectStrategy: false, connectTimeout: TIMEOUT_MS },
  });
  // Each of its calls fails by itself.
  client.on("error", () => undefined);
  try {
    await client.connect();
    const keys: string[] = [];
    const scan = { MATCH: serviceKey(NAMESPACE, "*"), COUNT: KEYS_PER_SCAN };
    for await (const some of client.scanIterator(scan)) keys.push(...some);
    const found = new Map<string, readonly Instance[]>();
    const texts = keys.length === 0 ? [] : await client.mGet(keys);
    for (const [index, key] of keys.entries()) {
      const service = serviceOfKey(NAMESPACE, key);
      const text = texts[index];
      if (service === undefined || text === undefined || text === null) continue;
      found.set(service, decodeSnapshot(text, NAMESPACE, service).instances);
    }
    return canonical(found);
  } finally {
    if (client.isOpen) client.destroy();
  }
}

/** Equal means byte-equal: services and instances in the order of their names, and the fields of everything in theirs. */
export function canonical(services: ReadonlyMap<string, readonly Instance[]>): Services {
  const entries = [...services.entries()]
    .filter(([, instances]) => instances.length > 0)
    .toSorted(([a], [b]) => compare(a, b))
    .map(([service, instances]): [string, string] => {
      return [service, JSON.stringify(sorted(instances.toSorted((a, b) => compare(a.id, b.id))))];
    });
  return Object.fromEntries(entries);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => compare(a, b));
  return Object.fromEntries(entries.map(([name, field]) => [name, sorted(field)]));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
