import { createHash } from "node:crypto";
import { createApply } from "./apply.ts";
import { checkConverged, checkPublished } from "./converged.ts";
import { FAIR } from "./link.ts";
import { FAULTS_BEGIN_MS, FAULTS_END_MS, SERVICES, WITNESS, type Plan } from "./plan.ts";
import { randomOf } from "./process.ts";
import { HOLD_MS } from "./publisher-process.ts";
import type { Violation } from "./violation.ts";
import { createWorld, type World } from "./world.ts";

/** After the last fault until everything agrees: a lease of the election, backoffs, a heartbeat, an audit. */
const CONVERGENCE_MS = 30_000;
/** The same until somebody publishes: an audit does not come to the help of who has not noticed that Redis is not his. */
const PUBLISHED_AGAIN_MS = 14_000;
/** Beyond the deadline of a hold. */
const HOLDS_END_MS = HOLD_MS + 8000;
/** After everything was closed. */
const CLOSED_MS = 10_000;
/** A service that there never is: whoever has asked for it asks what there is. */
const NOBODY = "nobody";
/** Between two lookups of an isolate. */
const LOOKUP_MS_MAX = 1600;
/** The same once the parts have had the time of an election since the last fault: there is little left to see. */
const CALM_LOOKUP_MS_MAX = 6400;
const CALM_AFTER_MS = 12_000;
/** Requests to Redis of one publisher at a time: the product's own bound. */
const STORE_WAITING_MAX = 16;
/** Timers that a publisher at rest may have. */
const TIMERS_MAX = 40;

export interface Outcome {
  readonly violations: readonly Violation[];
  readonly trace: readonly string[];
}

/** Runs one world from its beginning to its end. The same plan gives the same outcome. */
export async function simulate(plan: Plan, traced = false): Promise<Outcome> {
  const world = createWorld(plan, traced);
  const rejected = (reason: unknown) => world.report("no defect", `nobody took a rejection: ${String(reason)}`);
  process.on("unhandledRejection", rejected);
  crypto.subtle.digest = digestAtOnce;
  try {
    await run(world, plan);
  } finally {
    process.off("unhandledRejection", rejected);
    // It hid the real one.
    Reflect.deleteProperty(crypto.subtle, "digest");
  }
  return { violations: world.violations, trace: world.trace };
}

/** The real one answers from another thread, at a time that no seed knows. */
async function digestAtOnce(algorithm: AlgorithmIdentifier, data: BufferSource): Promise<ArrayBuffer> {
  const name = typeof algorithm === "string" ? algorithm : algorithm.name;
  const bytes = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
  return new Uint8Array(createHash(name.replace("-", "").toLowerCase()).update(bytes).digest()).buffer;
}

async function run(world: World, plan: Plan): Promise<void> {
  const { timeline, agents } = world;
  agents.register("w", WITNESS, "witness-0");
  agents.register("x", "a", "a-0");
  agents.register("y", "b", "b-0");
  const apply = createApply(world);
  for (const step of plan.steps) timeline.at(step.atMs, () => apply(step));
  const endMs = FAULTS_END_MS;
  read(world, plan.seed, FAULTS_BEGIN_MS, endMs + CONVERGENCE_MS);
  await timeline.advance(endMs);
  heal(world);
  await timeline.advance(endMs + PUBLISHED_AGAIN_MS);
  checkPublished(world);
  await timeline.advance(endMs + CONVERGENCE_MS);
  await check(world, true);
  await timeline.advance(endMs + CONVERGENCE_MS + HOLDS_END_MS);
  await check(world, false);
  checkBounds(world);
  for (const publisher of world.publishers.values()) void world.endPublisher(publisher);
  await timeline.advance(timeline.nowMs() + CLOSED_MS);
  for (const { process } of world.publishers.values()) {
    if (process.isAlive()) world.report("bounded", `${process.name} did not close`);
  }
}

/** Every isolate is asked for something every now and then. */
function read({ timeline, isolates, report }: World, seed: number, fromMs: number, untilMs: number): void {
  const random = randomOf(seed, "readers");
  const services = [...SERVICES, WITNESS, WITNESS, NOBODY];
  const look = (name: string) => {
    const isolate = isolates.get(name);
    const service = services[Math.floor(random() * services.length)] as string;
    isolate?.process.deliver(() => {
      const looked = service === NOBODY ? isolate.look(service).then(() => isolate.list()) : isolate.look(service);
      looked.catch((error: unknown) => report("no defect", `a lookup broke: ${String(error)}`));
    });
    const isCalm = timeline.nowMs() > FAULTS_END_MS + CALM_AFTER_MS;
    const nextMs = timeline.nowMs() + random() * (isCalm ? CALM_LOOKUP_MS_MAX : LOOKUP_MS_MAX);
    if (nextMs < untilMs) timeline.at(nextMs, () => look(name));
  };
  for (const name of isolates.keys()) timeline.at(fromMs, () => look(name));
}

function heal(world: World): void {
  const { etcd, redis, colo, publishers, isolates, agents } = world;
  world.tell("--- everything is well again");
  etcd.up = true;
  redis.up = true;
  redis.refuses = undefined;
  redis.replicaLagMs = 0;
  colo.failing = false;
  for (const { process, etcd: client, etcdLink, redisLink } of publishers.values()) {
    client.watchLagMs = 0;
    for (const link of [etcdLink, redisLink]) Object.assign(link, { cut: false, weather: FAIR });
    process.resume();
  }
  for (const { link } of isolates.values()) Object.assign(link, { cut: false, weather: FAIR });
  agents.heal();
}

/** The questions it asks are answered while time goes on. */
async function check(world: World, mayHold: boolean): Promise<void> {
  const { timeline } = world;
  // What is a little old is answered at once, and read again behind: the second answer is of that reading.
  for (const isolate of world.isolates.values())
    for (const service of [...SERVICES, WITNESS]) void isolate.ask(service);
  await timeline.advance(timeline.nowMs() + 3000);
  let isDone = false;
  void checkConverged(world, mayHold).then(() => (isDone = true));
  await timeline.advance(timeline.nowMs() + 900);
  if (!isDone) world.report("availability", "a lookup was not answered");
}

function checkBounds({ publishers, report }: World): void {
  for (const { process, redisLink } of publishers.values()) {
    if (redisLink.waitingMax() > STORE_WAITING_MAX) {
      report("bounded", `${process.name} had ${redisLink.waitingMax()} requests to Redis at a time`);
    }
    if (process.timers() > TIMERS_MAX) report("bounded", `${process.name} has ${process.timers()} timers at rest`);
  }
}
