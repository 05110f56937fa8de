import { Redis } from "@upstash/redis/cloudflare";
import { Hono } from "hono";
import { serviceKey } from "../../../contract/redis-keys.ts";

interface Env {
  readonly UPSTASH_REDIS_REST_URL: string;
  readonly UPSTASH_REDIS_REST_TOKEN: string;
  /** `lean`: what costs time and is not needed here is off. `default`: as it comes. */
  readonly CLIENT: "lean" | "default";
}

const LEAN = {
  automaticDeserialization: false,
  enableAutoPipelining: false,
  enableTelemetry: false,
  readYourWrites: false,
  responseEncoding: false,
  retry: { retries: 0 },
} as const;

const app = new Hono<{ Bindings: Env }>();
let redis: Redis | undefined;

/** What a function does that has Redis and nothing else: a GET for each request. */
app.get("/v1/services/:service", async ({ env, req }) => {
  redis ??= new Redis({
    url: env.UPSTASH_REDIS_REST_URL,
    token: env.UPSTASH_REDIS_REST_TOKEN,
    ...(env.CLIENT === "lean" ? LEAN : {}),
  });
  const value: unknown = await redis.get(serviceKey("default", req.param("service")));
  if (value === null) return new Response(null, { status: 404 });
  const body = typeof value === "string" ? value : JSON.stringify(value);
  return new Response(body, { headers: { "Content-Type": "application/json" } });
});

export default app;
