import { createResolver, type Resolver } from "../../src/resolver.ts";
import type { MemoryBounds } from "../../src/options.ts";
import type { Freshness } from "../../src/lookup/lookups.ts";
import type { AccessRule } from "../../src/access/access.ts";
import type { RateLimitRule } from "../../src/access/rate-limit.ts";
import type { NearRules } from "../../src/memory/near.ts";
import type { Platform } from "../../src/platform.ts";
import type { Refusal } from "../../src/lookup/refusals.ts";
import type { ColoCache } from "../../src/store/colo.ts";
import type { DeepStore } from "../../src/store/deep.ts";
import type { Random } from "../../kernel/random.ts";
import { createManualClock, type ManualClock } from "../support/clock.ts";
import { instance } from "../support/instance.ts";
import type { SealKey } from "./sealed.ts";
import { createFakeStore, type FakeStore } from "./fake-store.ts";
import { createTestPublisher, type TestPublisher, type Write } from "./publish.ts";

export interface Fixture {
  readonly resolver: Resolver;
  readonly clock: ManualClock;
  readonly store: FakeStore;
  readonly publisher: TestPublisher;
  readonly logged: string[];
  /** What was refused so far. */
  readonly refused: Refusal[];
  get(path: string, headers?: Readonly<Record<string, string>>, method?: string): Promise<Response>;
  /** A lookup's instance ids, or its status where it has none, with the header that tells the source. */
  look(service: string): Promise<{ ids: readonly string[]; status: number; source: string; stale: boolean }>;
}

export interface FixtureOptions {
  readonly freshness?: Partial<Freshness>;
  readonly memory?: Partial<MemoryBounds>;
  readonly access?: AccessRule;
  readonly rateLimit?: RateLimitRule;
  readonly corsOrigins?: readonly string[];
  readonly random?: Random;
  readonly namespaces?: readonly [string, ...string[]];
  readonly platform?: Platform;
  readonly near?: NearRules;
  readonly watchersMax?: number;
  readonly publicKeys?: readonly string[];
  /** What is published is stored as this makes it. */
  readonly seal?: SealKey;
  readonly colo?: ColoCache;
  readonly deep?: DeepStore;
  /** Another one whose clock, store and publisher this one shares: a further isolate. */
  readonly beside?: Fixture;
}

/** A resolver on a manual clock and a store that does as it is told, with the default times. */
export function createFixture(options: FixtureOptions = {}): Fixture {
  const clock = options.beside?.clock ?? createManualClock();
  const store = options.beside?.store ?? createFakeStore();
  const seal: SealKey = options.seal ?? ((_key, document) => document);
  const write: Write = (values) =>
    store.write(Object.fromEntries(Object.entries(values).map(([key, text]) => [key, seal(key, text)])));
  const publisher = options.beside?.publisher ?? createTestPublisher(write, { now: () => clock.now() });
  const refused: Refusal[] = [];
  const logged: string[] = [];
  const log = (_fields: object, message: string) => void logged.push(message);
  const resolver = createResolver({
    namespaces: options.namespaces ?? ["default"],
    access: options.access ?? { type: "open" },
    rateLimit: options.rateLimit ?? {},
    corsOrigins: options.corsOrigins ?? [],
    store,
    colo: options.colo,
    deep: options.deep,
    ...(options.freshness ? { freshness: options.freshness } : {}),
    ...(options.memory ? { memory: options.memory } : {}),
    ...(options.publicKeys ? { publicKeys: options.publicKeys } : {}),
    onRefused: (refusal) => void refused.push(refusal),
    ...(options.near === undefined ? {} : { near: options.near }),
    clock,
    random: options.random ?? (() => 0.5),
    log: { info: log, warn: log, error: log },
    ...(options.watchersMax === undefined ? {} : { watchersMax: options.watchersMax }),
  });
  const get: Fixture["get"] = async (path, headers = {}, method = "GET") =>
    resolver.fetch(new Request(`http://resolver${path}`, { headers, method }), options.platform);
  return {
    resolver,
    clock,
    store,
    publisher,
    logged,
    refused,
    get,
    async look(service) {
      const response = await get(`/v1/services/${service}`);
      const body = (await response.json()) as { instances?: { id: string }[] };
      return {
        ids: (body.instances ?? []).map(({ id }) => id),
        status: response.status,
        source: response.headers.get("fingerpost-source") ?? "",
        stale: response.headers.get("fingerpost-stale") === "true",
      };
    },
  };
}

/** The same with two services published, `web` and `api`, of an instance each. */
export async function createFilledFixture(options: FixtureOptions = {}): Promise<Fixture> {
  const made = createFixture(options);
  for (const service of ["web", "api"]) made.publisher.services.set(service, [instance(`${service}-1`)]);
  await made.publisher.fill();
  return made;
}
