import { createClient } from "@redis/client";
import * as fc from "fast-check";
import { setTimeout as pause } from "node:timers/promises";
import { encodeCatalog } from "../../contract/catalog.ts";
import { encodeHead } from "../../contract/head.ts";
import { catalogKey, headKey, serviceKey } from "../../contract/redis-keys.ts";
import { encodeSnapshot } from "../../contract/snapshot.ts";
import { aCatalog, aHead, anOddJsonText, aRegistration, aSnapshot } from "../support/arbitraries.ts";
import { mutatedText } from "../support/mutations.ts";
import { until } from "../support/until.ts";
import type { EtcdWriter } from "./etcd-writer.ts";
import { canaryFault } from "./health.ts";
import { replayOf, type Finding } from "./http.ts";
import type { FuzzStack } from "./stack.ts";
import { CANARY } from "./surfaces.ts";

/** The resolvers read again after 50 ms. */
const SEEN_AFTER_MS = 80;
const NAMESPACE = "default";

type Place =
  | { readonly type: "redis"; readonly key: string; readonly list?: true }
  | { readonly type: "etcd"; readonly key: string };

interface Garbage {
  readonly place: Place;
  readonly value: string;
}

const own = { namespace: fc.constant(NAMESPACE) };
const head = fc.tuple(aHead, fc.record(own)).map(([one, named]) => encodeHead({ ...one, ...named }));
const catalog = fc.tuple(aCatalog, fc.record(own)).map(([one, named]) => encodeCatalog({ ...one, ...named }));
const snapshot = aSnapshot.map((one) => encodeSnapshot({ ...one, namespace: NAMESPACE, service: CANARY.service }));
const registration = aRegistration(fc.constant("x")).map((one) => JSON.stringify(one));

/**
 * Documents that are refused, and not such as are merely untrue: without signatures whoever writes to Redis says what is
 * true. So a right one is damaged until its codec would not take it, which `isGarbage` of the stored one decides.
 */
const inRedis: fc.Arbitrary<Garbage> = fc.oneof(
  ...(
    [
      [headKey(NAMESPACE), head],
      [catalogKey(NAMESPACE), catalog],
      [serviceKey(NAMESPACE, CANARY.service), snapshot],
      [serviceKey(NAMESPACE, "no-such-service"), snapshot],
    ] as const
  ).map(([key, valid]) =>
    fc
      .tuple(fc.oneof(mutatedText(valid).map(broken), anOddJsonText, versioned(valid)), fc.boolean())
      .map(([value, list]): Garbage => ({ place: { type: "redis", key, ...(list ? { list } : {}) }, value })),
  ),
);

const ETCD_KEYS = [
  `/fingerpost/${NAMESPACE}/${CANARY.service}/x`,
  `/fingerpost/${NAMESPACE}/garbage/x`,
  "/fingerpost/garbage/garbage/x",
  `/fingerpost/${NAMESPACE}/a/b/c`,
  `/fingerpost/${NAMESPACE}`,
  "/fingerpost/",
  "/fingerpost///",
  "/fingerpost/__proto__/constructor/x",
  `/fingerpost/constructor/toString/x`,
  "/fingerpost/_publisher",
  "/fingerpost/_agents/a/b",
  "/fingerpost/_agents/a",
  "/fingerpost/_agents/__proto__/7",
  "/fingerpost/_election/publisher/x",
  "/fingerpost/_unknown/x",
];

const inEtcd: fc.Arbitrary<Garbage> = fc
  .tuple(fc.constantFrom(...ETCD_KEYS), fc.oneof(mutatedText(registration).map(broken), anOddJsonText))
  .map(([key, value]) => ({ place: { type: "etcd", key }, value }));

/** No reader may take it for whole, whatever else was changed in it. */
function broken(text: string): string {
  return text.startsWith("{") ? text.replace(/"(?:schema|port)":/, '"gone":') : text;
}

function versioned(valid: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .tuple(valid, fc.constantFrom("-1", "0", "1e999", '"1"', "null", "[1]", "1.5"))
    .map(([text, version]) => text.replace('"schema":1', `"schema":${version}`));
}

/**
 * Puts garbage where publisher and resolvers read, piece by piece; a service that was there is answered all the while,
 * and what is registered afterwards is published.
 */
export async function fuzzStored(
  stack: FuzzStack,
  etcd: EtcdWriter,
  seed: number,
  cases: number,
): Promise<readonly Finding[]> {
  const { redis, resolver, worker } = stack;
  const client = createClient({ url: redis.url });
  await client.connect();
  const shown: string[] = [];
  try {
    for (const { place, value } of fc.sample(fc.oneof(inRedis, inEtcd), { seed, numRuns: cases })) {
      shown.push(`${JSON.stringify(place)} = ${JSON.stringify(value).slice(0, 400)}`);
      if (place.type === "etcd") await etcd.put(place.key, Buffer.from(value));
      else if (place.list) await client.multi().del(place.key).lPush(place.key, value).exec();
      else await client.set(place.key, value);
      await pause(SEEN_AFTER_MS);
      for (const [name, target] of [
        ["resolver", resolver],
        ["worker", worker],
      ] as const) {
        const fault = await canaryFault(target);
        if (fault === undefined) continue;
        const what = `${name}: ${fault}\nafter\n${shown.slice(-5).join("\n")}`;
        return [{ surface: "stored", what, replay: replayOf(seed, cases, "stored") }];
      }
    }
  } finally {
    client.destroy();
    for (const key of ETCD_KEYS) await etcd.delete(key);
  }
  return await recovered(stack, seed, cases, shown);
}

/** A new service is published and answered: everybody has found their way back. */
async function recovered(
  { registrar, resolver, worker }: FuzzStack,
  seed: number,
  cases: number,
  shown: readonly string[],
): Promise<readonly Finding[]> {
  const service = `after-${seed}`;
  const instance = `http://127.0.0.1:${registrar.port}/v1/services/${service}/instances/a`;
  const authorization = `Bearer ${registrar.token}`;
  const put = await fetch(instance, {
    method: "PUT",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify({ address: "127.0.0.1", port: 1, ttlSeconds: 3600 }),
  });
  try {
    if (!put.ok) throw new Error(`it was not registered: ${put.status} ${await put.text()}`);
    for (const { port, token } of [resolver, worker]) {
      await until("a service that is registered afterwards is answered", async () => {
        const headers = { authorization: `Bearer ${token}` };
        return (await fetch(`http://127.0.0.1:${port}/v1/services/${service}`, { headers })).status === 200;
      });
    }
    await fetch(instance, { method: "DELETE", headers: { authorization } });
    return [];
  } catch (error) {
    const what = `${String(error)}\nafter\n${shown.slice(-20).join("\n")}`;
    return [{ surface: "stored", what, replay: replayOf(seed, cases, "stored") }];
  }
}
