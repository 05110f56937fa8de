import { expect, it } from "vitest";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import { instance } from "../support/instance.ts";
import { seededRandom } from "../support/random.ts";
import { createFakeColo } from "./fake-colo.ts";
import { createFakeDeep } from "./fake-deep.ts";
import { createFixture, type Fixture, type FixtureOptions } from "./fixture.ts";

/** `SEED=97 SEEDS=1 npx vitest run test/resolver/simulation.test.ts` replays one. */
const SEED_FIRST = Number(process.env["SEED"] ?? 1);
const SEEDS = Number(process.env["SEEDS"] ?? 20);
const STEPS = 80;
const LOOKUPS_PER_STEP = 3;

const SERVICES = ["a", "b", "c", "d", "e", "f"] as const;
type Service = (typeof SERVICES)[number];
const HEAD = headKey("default");
const PAUSES_MS = [0, 10, 50, 300, 700, 1001, 2100, 5000];
const FRESH_MS = 1000;
const SWR_MS = 2000;
/** A lookup takes its cold budget at most. */
const HANG_MS = 2500;
const LOOK_MS = 125;
const TOMBSTONE_MS = 4000;

/** From `at` on (by the fixture's clock) the service had this one instance, or none: undefined. */
interface Truth {
  readonly at: number;
  readonly id: string | undefined;
}

interface Body {
  readonly epoch: number;
  readonly revision: number;
  readonly instances: readonly { readonly id: string }[];
}

/** Two isolates, what they read from, and everything that was ever published. */
interface World {
  readonly random: () => number;
  readonly oneOf: <T>(items: readonly T[]) => T;
  readonly options: FixtureOptions;
  /** Whether Redis may go back in time. What it says is then of no age that could be known. */
  readonly replicaLags: boolean;
  readonly bounded: boolean;
  readonly first: Fixture;
  readonly isolates: [Fixture, Fixture];
  readonly truth: Map<Service, Truth[]>;
  readonly tombstones: Map<Service, number>;
  /** What each isolate has answered last, by isolate and service. */
  readonly answered: Map<string, Body>;
  /** What Redis held at times before. */
  readonly earlier: Map<string, string>[];
  latest: Map<string, string> | undefined;
  published: number;
}

async function createWorld(seed: number): Promise<World> {
  const random = seededRandom(seed * 7919);
  const bounded = random() < 0.2;
  const options: FixtureOptions = {
    random,
    ...(random() < 0.5 ? { colo: createFakeColo() } : {}),
    ...(random() < 0.3 ? { deep: createFakeDeep() } : {}),
    ...(bounded ? { memory: { entriesMax: 3 } } : {}),
  };
  const first = createFixture(options);
  const world: World = {
    random,
    oneOf: (items) => items[Math.floor(random() * items.length)] as (typeof items)[number],
    options,
    replicaLags: random() < 0.3,
    bounded,
    first,
    isolates: [first, createFixture({ ...options, beside: first })],
    truth: new Map(SERVICES.map((service) => [service, []])),
    tombstones: new Map(),
    answered: new Map(),
    earlier: [],
    latest: undefined,
    published: 0,
  };
  for (const service of SERVICES) {
    const id = random() < 0.6 ? `${service}-0` : undefined;
    if (id) first.publisher.services.set(service, [instance(id)]);
    world.truth.get(service)?.push({ at: first.clock.now(), id });
  }
  await first.publisher.fill();
  return world;
}

async function put(world: World, service: Service): Promise<void> {
  const { publisher, clock } = world.first;
  const id = `${service}-${++world.published}`;
  await publisher.put(service, [instance(id)]);
  world.truth.get(service)?.push({ at: clock.now(), id });
  world.tombstones.delete(service);
}

async function end(world: World, service: Service): Promise<void> {
  const { publisher, clock } = world.first;
  if (!publisher.services.has(service)) return;
  const until = clock.now() + TOMBSTONE_MS;
  await publisher.end(service, until);
  world.truth.get(service)?.push({ at: clock.now(), id: undefined });
  world.tombstones.set(service, until);
}

/** One thing that happens to Redis or to the publisher, or none. */
async function happen(world: World): Promise<void> {
  const { random, oneOf, first } = world;
  const { publisher, store } = first;
  if (store.failing) store.failing = random() > 0.2;
  if (store.holding && random() < 0.3) store.release();
  if (world.latest) {
    // Nothing is written while a replica lags: that would be written into what it has.
    if (random() > 0.15) return;
    store.values = world.latest;
    world.latest = undefined;
  }
  publisher.confirmedAt = first.clock.now();
  const happening = random();
  if (happening < 0.12) await put(world, oneOf(SERVICES));
  else if (happening < 0.16) await end(world, oneOf(SERVICES));
  else if (happening < 0.18) await publisher.fill();
  else if (happening < 0.2) {
    publisher.epoch++;
    await (random() < 0.5 ? publisher.fill() : publisher.writeHead());
  } else if (happening < 0.215) {
    store.values.clear();
    publisher.epoch++;
    if (random() < 0.7) await publisher.fill();
  } else if (happening < 0.24) store.failing = true;
  else if (happening < 0.26) store.holding = true;
  else if (happening < 0.32 && world.replicaLags && world.earlier.length > 0) {
    world.latest = store.values;
    store.values = new Map(oneOf(world.earlier));
    // Its head may have come already.
    const head = world.latest.get(HEAD);
    if (head && random() < 0.5) store.values.set(HEAD, head);
    return;
  } else if (happening < 0.6) await publisher.writeHead();
  if (random() < 0.3) world.earlier.splice(0, world.earlier.length < 3 ? 0 : 1, new Map(store.values));
  for (const [service, until] of world.tombstones) {
    if (first.clock.now() > until + FRESH_MS) store.values.delete(serviceKey("default", service));
  }
}

/** What an isolate, or the data centre, forgets. */
function forget(world: World): void {
  const { random, options, first } = world;
  if (random() < 0.03) (options.colo as ReturnType<typeof createFakeColo> | undefined)?.readings.clear();
  if (random() > 0.02) return;
  world.isolates[1] = createFixture({ ...options, beside: first });
  for (const service of SERVICES) world.answered.delete(`1 ${service}`);
}

/** What is wrong with one lookup's answer. */
async function look(world: World): Promise<string | undefined> {
  const { random, oneOf, first, truth, replicaLags } = world;
  const index = random() < 0.5 ? 0 : 1;
  const service = oneOf(SERVICES);
  const headers: Record<string, string> = random() < 0.1 ? { "cache-control": "no-cache" } : {};
  const startedAt = first.clock.now();
  const answers: Response[] = [];
  void world.isolates[index].get(`/v1/services/${service}`, headers).then((response) => answers.push(response));
  await first.clock.advance(0);
  while (answers.length === 0 && first.clock.now() - startedAt < HANG_MS) await first.clock.advance(LOOK_MS);
  const [answer] = answers;
  if (!answer) return `${service} was not answered`;
  const told = truth.get(service) ?? [];
  const endOf = (position: number) => told[position + 1]?.at ?? Infinity;
  if (answer.status === 404) {
    world.answered.delete(`${index} ${service}`);
    const gone = told.some(({ id }, position) => id === undefined && endOf(position) >= startedAt - FRESH_MS - 1);
    return gone || replicaLags ? undefined : `${service} is 404 and was there: ${JSON.stringify(told.slice(-3))}`;
  }
  if (answer.status !== 200) return answer.status === 503 ? undefined : `${service} is ${answer.status}`;

  const body = (await answer.json()) as Body;
  const before = world.answered.get(`${index} ${service}`);
  world.answered.set(`${index} ${service}`, body);
  const back = before && (body.epoch - before.epoch || body.revision - before.revision) < 0;
  if (back && !world.bounded) return `${service} went back from ${before.revision} to ${body.revision}`;
  if (replicaLags) return undefined;

  const id = body.instances[0]?.id;
  const until = Math.max(...told.map((entry, position) => (entry.id === id ? endOf(position) : -Infinity)));
  const ageMs = Number(answer.headers.get("fingerpost-age-ms") ?? NaN);
  if (!(until >= startedAt - ageMs - 1)) return `${service} ${id} is older than the ${ageMs} ms it tells`;
  const marked = answer.headers.get("fingerpost-stale") === "true";
  return marked || until >= startedAt - SWR_MS - 1 ? undefined : `${service} ${id} is out of date, and not marked`;
}

/** What first went wrong, with its seed and step. */
async function simulate(seed: number): Promise<string | undefined> {
  const world = await createWorld(seed);
  for (let step = 0; step < STEPS; step++) {
    await happen(world);
    forget(world);
    await world.first.clock.advance(world.oneOf(PAUSES_MS));
    for (let lookup = 0; lookup < LOOKUPS_PER_STEP; lookup++) {
      const wrong = await look(world);
      if (wrong) return `seed ${seed}, step ${step}: ${wrong}`;
    }
  }
  return undefined;
}

it("whatever happens, no answer goes back, is older than it says, says 404 by accident or does not come", async () => {
  const wrong: string[] = [];
  for (let seed = SEED_FIRST; seed < SEED_FIRST + SEEDS; seed++) {
    const first = await simulate(seed);
    if (first) wrong.push(first);
  }
  expect(wrong).toEqual([]);
});
