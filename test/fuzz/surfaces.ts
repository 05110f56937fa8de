import * as fc from "fast-check";
import type { Instance } from "../../contract/snapshot.ts";
import { aRegistration } from "../support/arbitraries.ts";
import type { FuzzedRequest, Template } from "./requests.ts";
import type { FuzzStack, Target } from "./stack.ts";
import type { VerdictOptions } from "./verdict.ts";

/** The service that is there all the time: what is refused must not touch it. */
export const CANARY = { service: "canary", instance: "canary-1", port: 4242 };

/** What is fuzzed: a process, the requests that it takes, and the way it tells errors. */
export interface Surface {
  readonly name: SurfaceName;
  readonly target: Target;
  readonly templates: readonly Template[];
  readonly verdict: VerdictOptions;
  /** What was answered wrongly once, and is sent first. */
  readonly found: readonly FuzzedRequest[];
}

export const SURFACE_NAMES = ["registrar", "gateway", "resolver", "worker"] as const;
export type SurfaceName = (typeof SURFACE_NAMES)[number];

const check = fc.constantFrom<object>(
  { type: "tcp", intervalSeconds: 3600 },
  { type: "http", path: "/", intervalSeconds: 3600, expectStatus: [200, 204] },
  { type: "grpc", service: "a", intervalSeconds: 3600, tls: true },
);

const registrationBody = fc
  .tuple(aRegistration(fc.constant("x")), fc.oneof(fc.constant({ ttlSeconds: 3600 }), fc.record({ check })))
  .map(([{ id: _id, status: _status, cause: _cause, registeredAt: _at, ...rest }, liveness]) =>
    JSON.stringify({ ...rest, ...liveness } satisfies Partial<Instance> & object),
  );

const REGISTRAR: readonly Template[] = [
  { method: "PUT", path: "/v1/services/web/instances/a", body: registrationBody },
  { method: "PUT", path: "/v1/namespaces/other/services/web/instances/b", body: registrationBody },
  { method: "POST", path: "/v1/services/web/instances/a/heartbeat" },
  { method: "POST", path: "/v1/services/web/instances/a/drain" },
  { method: "DELETE", path: "/v1/services/web/instances/a" },
  { method: "GET", path: "/v1/instances", query: [["limit", "2"]] },
  { method: "GET", path: "/v1/namespaces/other/instances" },
  { method: "GET", path: "/v1/guard" },
  { method: "POST", path: "/v1/guard/release" },
  { method: "GET", path: "/v1/status" },
  { method: "GET", path: "/metrics" },
  { method: "GET", path: "/healthz" },
  { method: "GET", path: "/readyz" },
];

const command = fc.constantFrom<readonly (string | number)[]>(
  ["GET", "fp:{default}:head"],
  ["MGET", "a", "b"],
  ["SET", "fuzz", "1", "EX", 10],
  ["EVAL", "return KEYS[1]", 1, "a"],
  ["PING"],
  ["HELLO", "3"],
  ["SUBSCRIBE", "a"],
  ["FLUSHALL"],
  ["CONFIG", "GET", "*"],
  ["MULTI"],
  ["GET"],
  ["NO-SUCH"],
  ["SET", "fuzz", "x".repeat(3000)],
  ["INCRBY", "n", 9_007_199_254_740_991],
);

const GATEWAY: readonly Template[] = [
  { method: "POST", path: "/", body: command.map((one) => JSON.stringify(one)) },
  { method: "POST", path: "/pipeline", body: fc.array(command, { maxLength: 4 }).map((all) => JSON.stringify(all)) },
  { method: "POST", path: "/multi-exec", body: fc.array(command, { maxLength: 4 }).map((all) => JSON.stringify(all)) },
  { method: "GET", path: "/get/fuzz" },
  { method: "POST", path: "/set/fuzz", query: [["EX", "10"]], body: fc.constant('"x"') },
  { method: "GET", path: "/healthz" },
  { method: "GET", path: "/readyz" },
];

const RESOLVER: readonly Template[] = [
  { method: "GET", path: "/v1/services/canary" },
  { method: "GET", path: "/v1/services/canary", query: [["tag", "a"]] },
  { method: "GET", path: "/v1/namespaces/other/services/web", query: [["health", "all"]] },
  { method: "GET", path: "/v1/services/canary/pick", query: [["key", "a"]] },
  { method: "GET", path: "/v1/services", query: [["limit", "1"]] },
  { method: "GET", path: "/v1/resolve", query: [["service", "canary"]] },
  { method: "GET", path: "/v1/services/canary/watch", query: [["wait", "1ms"]] },
  { method: "GET", path: "/v1/services/canary/watch", query: [["revision", "0"]] },
  { method: "GET", path: "/openapi.json" },
  { method: "GET", path: "/docs" },
  { method: "GET", path: "/healthz" },
  { method: "GET", path: "/readyz" },
];

/** Its Host makes no URL, and only Node refuses that by itself. */
const strangeHost = (token: string) =>
  asSent("GET", "/v1/services?limit=1", `Host: a b\r\nAuthorization: Bearer ${token}`);

/** Its body ends before it is whole. */
function cutOff(method: string, target: string, { port, token }: Target): FuzzedRequest {
  const headers = [`Host: 127.0.0.1:${port}`, `Authorization: Bearer ${token}`, "Content-Type: application/json"];
  return asSent(method, target, `${headers.join("\r\n")}\r\nContent-Length: 100`, '["GET",');
}

function asSent(method: string, target: string, headers: string, body = ""): FuzzedRequest {
  const text = `${method} ${target} HTTP/1.1\r\n${headers}\r\nConnection: close\r\n\r\n${body}`;
  return { method, target, pieces: [Buffer.from(text)] };
}

export function surfacesOf(stack: FuzzStack): readonly Surface[] {
  const { secrets } = stack;
  const made = (
    name: SurfaceName,
    templates: readonly Template[],
    found: FuzzedRequest,
    verdict: Partial<VerdictOptions> = {},
  ): Surface => ({
    name,
    target: stack[name],
    templates,
    verdict: { errors: "problem", node: true, secrets, ...verdict },
    found: [found],
  });
  const { registrar, gateway, resolver, worker } = stack;
  return [
    made("registrar", REGISTRAR, cutOff("PUT", "/v1/services/web/instances/a", registrar)),
    made("gateway", GATEWAY, cutOff("POST", "/", gateway), { errors: "upstash" }),
    made("resolver", RESOLVER, strangeHost(resolver.token)),
    made("worker", RESOLVER, strangeHost(worker.token), { node: false }),
  ];
}
