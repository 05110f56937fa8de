import type { Random } from "../../kernel/random.ts";
import type { Weather } from "./link.ts";
import { randomOf } from "./process.ts";

export const SERVICES = ["a", "b", "c"] as const;
/** Its one instance is there from the beginning to the end. */
export const WITNESS = "witness";
export const AGENTS = ["x", "y", "z"] as const;
export const PUBLISHERS = ["p0", "p1"] as const;
export const ISOLATES = ["i0", "i1", "i2"] as const;
/** Instances that a service may have, by number. */
const NUMBERS = [0, 1, 2] as const;

/** All parts start, and the first registrations are published. */
export const FAULTS_BEGIN_MS = 4000;
export const FAULTS_END_MS = 44_000;

type Service = (typeof SERVICES)[number];
export type Agent = (typeof AGENTS)[number];
export type PublisherName = (typeof PUBLISHERS)[number];
export type IsolateName = (typeof ISOLATES)[number];

/** What happens at one moment. What has `ms` ends by itself after as long. */
export type Action =
  | { readonly type: "register"; readonly service: Service; readonly number: number; readonly agent: Agent }
  | { readonly type: "change" | "deregister" | "down" | "drain"; readonly service: Service; readonly number: number }
  | { readonly type: "expire"; readonly agent: Agent }
  | { readonly type: "return"; readonly agent: Agent; readonly forgets: boolean }
  | { readonly type: "compact" | "backup" | "restore" | "break-watches" }
  | { readonly type: "etcd-down"; readonly ms: number }
  | { readonly type: "watch-lag"; readonly of: PublisherName; readonly lagMs: number; readonly ms: number }
  | { readonly type: "cut-etcd" | "cut-redis"; readonly of: PublisherName; readonly ms: number }
  | {
      readonly type: "weather";
      readonly of: PublisherName | IsolateName;
      readonly to: "etcd" | "redis";
      readonly weather: Weather;
      readonly ms: number;
    }
  | { readonly type: "flush" | "promote" }
  | { readonly type: "evict" | "tamper"; readonly what: "head" | "catalog" | Service }
  | { readonly type: "replica-lag"; readonly lagMs: number; readonly ms: number }
  | { readonly type: "redis-down" | "redis-readonly" | "redis-full"; readonly ms: number }
  | { readonly type: "cut-reader"; readonly of: IsolateName; readonly ms: number }
  | { readonly type: "pause" | "kill" | "close"; readonly of: PublisherName; readonly ms: number }
  | { readonly type: "skew"; readonly of: PublisherName | IsolateName; readonly byMs: number }
  | { readonly type: "restart-isolate"; readonly of: IsolateName }
  | { readonly type: "colo-clear" }
  | { readonly type: "colo-broken"; readonly ms: number };

export type Step = Action & { readonly atMs: number };

/** Everything that a seed decides beforehand. Without some of its steps a plan is one as well. */
export interface Plan {
  readonly seed: number;
  readonly settings: {
    /** The part of the readings of Redis that a replica answers. */
    readonly replicaReads: number;
    /** The isolates share a colo cache, but for the last. */
    readonly colo: boolean;
    readonly deep: boolean;
  };
  readonly steps: readonly Step[];
}

/** What a world may suffer from: each seed draws some of them, so that each is also met without the others. */
type Family = (random: Random) => Action;

export function planOf(seed: number): Plan {
  const random = randomOf(seed, "plan");
  const chosen = families.filter(() => random() < FAMILY_CHANCE);
  const steps: Step[] = [];
  const add = (count: number, draw: Family) => {
    for (let index = 0; index < count; index++)
      steps.push({ atMs: Math.round(FAULTS_BEGIN_MS + random() * (FAULTS_END_MS - FAULTS_BEGIN_MS)), ...draw(random) });
  };
  add(6 + Math.floor(random() * 20), traffic);
  for (const family of chosen) add(1 + Math.floor(random() * 4), family);
  const settings = { replicaReads: oneOf(random, [0, 0, 0.5, 1]), colo: random() < 0.5, deep: random() < 0.3 };
  const story = STORIES.get(seed % STORY_EVERY);
  if (story) steps.push(...story(randomOf(seed, "story")));
  return {
    seed,
    settings: { ...settings, ...(story === lagged ? { replicaReads: 0.5 } : {}) },
    steps: steps.toSorted((a, b) => a.atMs - b.atMs),
  };
}

/** One service changes again and again, and a replica that lags answers half of the readings. */
function lagged(random: Random): Step[] {
  const beginMs = FAULTS_BEGIN_MS + Math.round(random() * 20_000);
  const lag: Step = { atMs: beginMs, type: "replica-lag", lagMs: oneOf(random, [800, 2000, 4000]), ms: 14_000 };
  const changes = Array.from({ length: 30 }, (_, index): Step => {
    return { atMs: beginMs + 400 * index, type: "change", service: "a", number: 0 };
  });
  return [lag, ...changes];
}

/** An agent dies with the last instance of a service, and soon after Redis with all it had, and a publisher. */
function bereft(random: Random): Step[] {
  const beginMs = FAULTS_BEGIN_MS + Math.round(random() * 25_000);
  const soon = () => beginMs + 500 + Math.round(random() * 3000);
  return [
    { atMs: beginMs, type: "expire", agent: oneOf(random, AGENTS) },
    { atMs: soon(), type: "flush" },
    { atMs: soon(), type: "kill", of: oneOf(random, PUBLISHERS), ms: 8000 },
  ];
}

/** What must come together to show anything, and seldom would: seeds of these remainders draw it besides. */
const STORY_EVERY = 8;
const STORIES: ReadonlyMap<number, (random: Random) => Step[]> = new Map([
  [0, lagged],
  [4, bereft],
]);

const FAMILY_CHANCE = 0.3;

function oneOf<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)] as T;
}

const shortMs = (random: Random) => Math.round(random() ** 2 * 12_000);

function traffic(random: Random): Action {
  const [service, number] = [oneOf(random, SERVICES), oneOf(random, NUMBERS)];
  const type = oneOf(random, ["register", "register", "register", "change", "deregister", "down", "drain"] as const);
  return type === "register" ? { type, service, number, agent: oneOf(random, AGENTS) } : { type, service, number };
}

function drawWeather(random: Random): Weather {
  const part = () => (random() < 0.5 ? random() * 0.5 : 0);
  return {
    lossBefore: part(),
    lossAfter: part(),
    duplicates: part(),
    late: part(),
    lateMs: oneOf(random, [20, 300, 3000]),
  };
}

const families: readonly Family[] = [
  (random) =>
    random() < 0.5
      ? { type: "expire", agent: oneOf(random, AGENTS) }
      : { type: "return", agent: oneOf(random, AGENTS), forgets: random() < 0.2 },
  () => ({ type: "compact" }),
  (random) => ({ type: random() < 0.5 ? "backup" : "restore" }),
  () => ({ type: "break-watches" }),
  (random) => ({ type: "etcd-down", ms: shortMs(random) }),
  (random) => ({
    type: "watch-lag",
    of: oneOf(random, PUBLISHERS),
    lagMs: oneOf(random, [50, 600, 4000]),
    ms: shortMs(random),
  }),
  (random) => ({
    type: oneOf(random, ["cut-etcd", "cut-redis"] as const),
    of: oneOf(random, PUBLISHERS),
    ms: shortMs(random),
  }),
  (random) => ({
    type: "weather",
    of: oneOf(random, PUBLISHERS),
    to: oneOf(random, ["etcd", "redis"] as const),
    weather: drawWeather(random),
    ms: shortMs(random),
  }),
  (random) => ({
    type: "weather",
    of: oneOf(random, ISOLATES),
    to: "redis",
    weather: drawWeather(random),
    ms: shortMs(random),
  }),
  () => ({ type: "flush" }),
  () => ({ type: "promote" }),
  (random) => ({
    type: oneOf(random, ["evict", "tamper"] as const),
    what: oneOf(random, ["head", "catalog", ...SERVICES] as const),
  }),
  (random) => ({ type: "replica-lag", lagMs: oneOf(random, [100, 1500, 8000]), ms: shortMs(random) }),
  (random) => ({
    type: oneOf(random, ["redis-down", "redis-readonly", "redis-full"] as const),
    ms: shortMs(random),
  }),
  (random) => ({ type: "cut-reader", of: oneOf(random, ISOLATES), ms: shortMs(random) }),
  (random) => ({ type: "pause", of: oneOf(random, PUBLISHERS), ms: shortMs(random) }),
  (random) => ({
    type: oneOf(random, ["kill", "close"] as const),
    of: oneOf(random, PUBLISHERS),
    ms: shortMs(random),
  }),
  (random) => ({
    type: "skew",
    of: oneOf(random, [...PUBLISHERS, ...ISOLATES]),
    byMs: oneOf(random, [-3000, -200, 0, 200, 3000]),
  }),
  (random) => ({ type: "restart-isolate", of: oneOf(random, ISOLATES) }),
  (random) => (random() < 0.5 ? { type: "colo-clear" } : { type: "colo-broken", ms: shortMs(random) }),
];
