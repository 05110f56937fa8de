import { readdirSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { instance } from "../support/instance.ts";
import { until } from "../support/until.ts";
import { answering, answerOf, playResolver, type PlayedResolver } from "./resolver.ts";

const CALLS = 50;
const ROOT = join(import.meta.dirname, "../..");

/** One client for the whole isolate, as a function would have it. */
const worker = `
import { waitUntil } from "cloudflare:workers";
import { createClient } from "./client/index.ts";

let client;
let started = 0;
export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/started") return new Response(String(started));
    client ??= createClient({ url: env.RESOLVER, timeoutMs: 5000, ...(env.WAIT_UNTIL ? { waitUntil } : {}) });
    started++;
    const { revision, source } = await client.resolve("web");
    return Response.json({ revision, source });
  },
};
`;

let resolver: PlayedResolver;
let miniflare: Miniflare | undefined;
/** Answers the requests that the resolver holds. */
let held: (() => void)[];

beforeEach(async () => {
  resolver = await playResolver();
  held = [];
  const reply = answering(answerOf("web", [instance("a")], { revision: 7 }));
  resolver.play((request, response) => {
    held.push(() => void reply(request, response));
  });
});
afterEach(async () => {
  await miniflare?.dispose();
  await resolver.close();
});

/** The client's own files in a real workerd, without Node's modules: whatever else they import fails to load. */
async function start(bindings: Record<string, string>): Promise<{ url: string; port: number }> {
  const own = readdirSync(join(ROOT, "client")).filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"));
  const files = [...own.map((file) => `client/${file}`), "contract/pick.ts", "contract/watch.ts"];
  miniflare = new Miniflare(
    convertV4MiniflareOptions({
      name: "functions",
      modulesRoot: "/",
      modules: [
        { type: "ESModule", path: "/worker.mjs", contents: worker },
        ...files.map((file) => ({
          type: "ESModule" as const,
          path: `/${file}`,
          contents: stripTypeScriptTypes(readFileSync(join(ROOT, file), "utf8")),
        })),
      ],
      compatibilityDate: "2026-10-01",
      bindings: { RESOLVER: resolver.url, ...bindings },
      unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
    }),
  );
  const { origin, port } = await miniflare.unsafeGetDirectURL("functions");
  return { url: origin, port: Number(port) };
}

async function crowdWhoseFirstHangsUp(bindings: Record<string, string>): Promise<unknown[]> {
  const { url, port } = await start(bindings);
  const started = async (count: number) => (await (await fetch(`${url}/started`)).text()) === String(count);
  const first: Socket = connect({ host: "127.0.0.1", port });
  first.on("error", () => first.destroy());
  first.write("GET / HTTP/1.1\r\nHost: functions\r\n\r\n");
  await until("the first lookup has reached the resolver", () => resolver.seen.length === 1);

  const others = Array.from({ length: CALLS }, async (): Promise<unknown> => (await fetch(url)).json());
  await until("the others are under way", () => started(CALLS + 1));
  first.resetAndDestroy();
  const answers = Promise.all(others);
  let answered = false;
  void answers.finally(() => (answered = true));
  await until("all are answered", () => {
    for (const release of held.splice(0)) release();
    return answered;
  });
  return await answers;
}

describe("on Workers, when the client of the first of many calls hangs up", () => {
  const right = Array.from({ length: CALLS }, () => ({ revision: 7, source: "memory" }));

  test("with waitUntil all others get its answer, from one request", async () => {
    expect(await crowdWhoseFirstHangsUp({ WAIT_UNTIL: "true" })).toEqual(right);
    expect(resolver.seen).toHaveLength(1);
  });

  test("without it no call depends on another, and all are answered by requests of their own", async () => {
    expect(await crowdWhoseFirstHangsUp({})).toEqual(right);
    expect(resolver.seen).toHaveLength(CALLS + 1);
  });
});
