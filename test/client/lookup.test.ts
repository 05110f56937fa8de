import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createClient, type ClientOptions } from "../../client/index.ts";
import { until } from "../support/until.ts";
import { answering, answerOf, cutting, playResolver, refusing, silent, type PlayedResolver } from "./resolver.ts";
import { instance } from "../support/instance.ts";

let resolver: PlayedResolver;
/** What the client takes for the time, moved by the tests. */
let nowMs: number;

beforeEach(async () => {
  resolver = await playResolver();
  nowMs = 1000;
});
afterEach(async () => {
  await resolver.close();
});

function client(options: Partial<ClientOptions> = {}) {
  return createClient({ url: resolver.url, token: "resolver-token", now: () => nowMs, random: () => 0.5, ...options });
}

const first = answerOf("web", [instance("a"), instance("b")], { revision: 7 });
const second = answerOf("web", [instance("c")], { revision: 8 });

describe("an answer", () => {
  test("is the resolver's, with how old and how sure it is", async () => {
    resolver.play(
      answering(first, { "Fingerpost-Source": "redis", "Fingerpost-Age-Ms": "1500", "Fingerpost-Stale": "true" }),
    );
    expect(await client().resolve("web")).toEqual({ ...first, ageMs: 1500, stale: true, source: "redis" });
    expect(resolver.seen).toMatchObject([
      { path: "/v1/namespaces/default/services/web", headers: { authorization: "Bearer resolver-token" } },
    ]);
  });

  test("carries every filter to the resolver, in one spelling whatever their order", async () => {
    resolver.play(answering({ ...first, namespace: "shop" }));
    const one = client({ namespace: "shop" });
    const filters = { version: "^1 || ^2", region: "eu", zone: "eu-1", health: "all", near: "auto", limit: 3 } as const;
    await one.resolve("web", { ...filters, tags: ["x&y", "a"], metadata: { "team/x": "ö", b: "2" } });
    await one.resolve("web", { metadata: { b: "2", "team/x": "ö" }, tags: ["a", "x&y"], ...filters });
    expect(resolver.seen).toHaveLength(1);
    const url = new URL(resolver.seen[0]?.path ?? "", resolver.url);
    expect(url.pathname).toBe("/v1/namespaces/shop/services/web");
    expect(Object.fromEntries([...url.searchParams].filter(([name]) => name !== "tag"))).toEqual({
      version: "^1 || ^2",
      region: "eu",
      zone: "eu-1",
      health: "all",
      near: "auto",
      limit: "3",
      "meta.team/x": "ö",
      "meta.b": "2",
    });
    expect(url.searchParams.getAll("tag")).toEqual(["a", "x&y"]);
  });

  test("of other filters or of another service is another answer", async () => {
    const one = client();
    resolver.play(answering(first));
    await one.resolve("web");
    await one.resolve("web", { region: "eu" });
    resolver.play(answering(answerOf("api", [])));
    expect((await one.resolve("api")).instances).toEqual([]);
    expect(resolver.seen).toHaveLength(3);
  });
});

describe("an answer that is held", () => {
  test("is used without a request while fresh, and its age grows", async () => {
    resolver.play(answering(first));
    const one = client({ freshMs: 400 });
    await one.resolve("web");
    nowMs += 399;
    expect(await one.resolve("web")).toMatchObject({ revision: 7, ageMs: 519, stale: false });
    expect(resolver.seen).toHaveLength(1);
    nowMs += 1;
    await one.resolve("web");
    expect(resolver.seen).toHaveLength(2);
  });

  test("is asked about by its ETag, and confirmed or replaced", async () => {
    resolver.play(answering(first));
    const one = client();
    await one.resolve("web");
    nowMs += 1000;
    resolver.play(answering(first, { "Fingerpost-Age-Ms": "30" }));
    expect(await one.resolve("web")).toMatchObject({ revision: 7, ageMs: 30, source: "memory" });
    expect(resolver.seen[1]?.headers["if-none-match"]).toBe('"1-7"');
    nowMs += 1000;
    resolver.play(answering(second));
    expect(await one.resolve("web")).toMatchObject({ revision: 8, instances: second.instances });
  });

  test("is never replaced by an older one, by epoch before revision", async () => {
    resolver.play(answering({ ...first, epoch: 2 }));
    const one = client();
    await one.resolve("web");
    for (const older of [
      { epoch: 2, revision: 6 },
      { epoch: 1, revision: 99 },
    ]) {
      nowMs += 1000;
      resolver.play(answering({ ...second, ...older }));
      expect(await one.resolve("web")).toMatchObject({ epoch: 2, revision: 7 });
    }
    nowMs += 1000;
    resolver.play(answering({ ...second, epoch: 3, revision: 1 }));
    expect(await one.resolve("web")).toMatchObject({ epoch: 3, revision: 1 });
  });

  test("leaves when there are more than entriesMax, the least recently used first", async () => {
    resolver.play((request, response) => {
      void answering(answerOf(request.url?.split("/").at(-1) ?? "", []))(request, response);
    });
    const one = client({ entriesMax: 2 });
    for (const service of ["a", "b", "a", "c"]) await one.resolve(service);
    expect(resolver.seen).toHaveLength(3);
    await one.resolve("a");
    expect(resolver.seen).toHaveLength(3);
    await one.resolve("b");
    expect(resolver.seen).toHaveLength(4);
  });
});

describe("calls at the same time", () => {
  test("for the same thing are one request, and all get its answer or its failure", async () => {
    const one = client();
    resolver.play(answering(first));
    const answers = await Promise.all(Array.from({ length: 100 }, () => one.resolve("web")));
    expect(answers.every(({ revision }) => revision === 7)).toBe(true);
    expect(resolver.seen).toHaveLength(1);

    resolver.play(refusing(404));
    const failures = await Promise.allSettled(Array.from({ length: 100 }, () => one.resolve("none")));
    expect(failures.every(({ status }) => status === "rejected")).toBe(true);
    expect(resolver.seen).toHaveLength(2);
  });

  test("a pick and a fetch join the lookup of the same service", async () => {
    resolver.play(answering(first));
    const one = client();
    await Promise.all([one.resolve("web"), one.pick("web"), one.pick("web", { key: "k" })]);
    expect(resolver.seen).toHaveLength(1);
  });
});

describe("with an answer held, a resolver that", () => {
  test.each([
    ["fails", refusing(500)],
    ["knows nothing", refusing(503, { "Retry-After": "1" })],
    ["is at its limit", refusing(429, { "Retry-After": "1" })],
    ["cuts the connection", cutting],
    ["says nothing", silent],
    ["answers no JSON", (_request: unknown, response: { end(text: string): void }) => response.end("<html>")],
    ["answers for another service", answering(answerOf("other", []))],
    ["answers without instances", answering({ ...first, instances: undefined as never, revision: 9 })],
    [
      "redirects",
      (_request: unknown, response: ServerResponse) => {
        response.writeHead(302, { Location: "http://127.0.0.1:1/" }).end();
      },
    ],
  ])("%s does not fail a lookup, which says what it is", async (_name, reply) => {
    resolver.play(answering(first));
    const one = client({ budgetMs: 60 });
    await one.resolve("web");
    resolver.play(reply);
    nowMs += 5000;
    expect(await one.resolve("web")).toEqual({ ...first, ageMs: 5120, stale: true, source: "last-known-good" });
  });

  test("has stopped is not waited for by every call", async () => {
    resolver.play(answering(first));
    const one = client({ budgetMs: 60 });
    await one.resolve("web");
    resolver.play(silent);
    nowMs += 5000;
    await one.resolve("web");
    const startedAt = performance.now();
    for (let count = 0; count < 20; count++) {
      expect(await one.resolve("web")).toMatchObject({ source: "last-known-good" });
    }
    expect(performance.now() - startedAt).toBeLessThan(600);
    await until("the one request has arrived", () => resolver.seen.length > 1);
    expect(resolver.seen).toHaveLength(2);
  });

  test("is asked again after a pause that grows, and believed once it answers", async () => {
    resolver.play(answering(first));
    const one = client();
    await one.resolve("web");
    resolver.play(refusing(500));
    const asked: number[] = [];
    for (let elapsed = 0; elapsed < 30_000; elapsed += 250) {
      nowMs += 250;
      const before = resolver.seen.length;
      await one.resolve("web");
      if (resolver.seen.length > before) asked.push(elapsed);
    }
    expect(asked.length).toBeGreaterThan(4);
    expect(asked.length).toBeLessThan(9);
    nowMs += 10_000;
    resolver.play(answering(second));
    expect(await one.resolve("web")).toMatchObject({ revision: 8, stale: false, source: "memory" });
  });

  test.each([
    [400, "invalid_argument"],
    [401, "unauthenticated"],
    [403, "permission_denied"],
    [404, "not_found"],
  ])("refuses with %i is believed, also when it fails afterwards", async (status, code) => {
    resolver.play(answering(first));
    const one = client();
    await one.resolve("web");
    nowMs += 1000;
    resolver.play(refusing(status));
    await expect(one.resolve("web")).rejects.toMatchObject({ code, message: `Refused with ${status}.` });
    resolver.play(refusing(500));
    await expect(one.resolve("web")).rejects.toMatchObject({ code: "unavailable" });
  });
});

test("a redirect is not followed: the token is for the resolver only", async () => {
  resolver.play((_request, response) => {
    response.writeHead(302, { Location: "/elsewhere" }).end();
  });
  await expect(client().resolve("web")).rejects.toMatchObject({ code: "unavailable" });
  expect(resolver.seen.map(({ path }) => path)).toEqual(["/v1/namespaces/default/services/web"]);
});

describe("with nothing held", () => {
  test.each([
    ["unavailable", refusing(500), 5000],
    ["unavailable", cutting, 5000],
    ["timeout", silent, 100],
    ["rate_limited", refusing(429), 5000],
  ])("the error is %s", async (code, reply, timeoutMs) => {
    resolver.play(reply);
    const error: unknown = await client({ budgetMs: 50, timeoutMs })
      .resolve("web")
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "ResolveError", code });
    expect(String(error)).not.toContain("resolver-token");
  });

  test("a pause the resolver asks for is kept for every service, and its end is told", async () => {
    resolver.play(refusing(429, { "Retry-After": "3" }));
    const one = client();
    await expect(one.resolve("web")).rejects.toMatchObject({ code: "rate_limited", retryAfterMs: 3000 });
    nowMs += 2000;
    await expect(one.resolve("api")).rejects.toMatchObject({ code: "rate_limited", retryAfterMs: 1000 });
    expect(resolver.seen).toHaveLength(1);
    nowMs += 1000;
    resolver.play(answering(first));
    expect(await one.resolve("web")).toMatchObject({ revision: 7 });
  });

  test("a slow answer is waited for up to timeoutMs, not only budgetMs", async () => {
    const released: (() => void)[] = [];
    resolver.play((request, response) => {
      released.push(() => void answering(first)(request, response));
    });
    const pending = client({ budgetMs: 1, timeoutMs: 5000 }).resolve("web");
    await until("the request has arrived", () => released.length === 1);
    const arrivedAt = performance.now();
    await until("far more than the budget has passed", () => performance.now() - arrivedAt > 150);
    released[0]?.();
    expect(await pending).toMatchObject({ revision: 7, stale: false });
  });
});

test("a late answer is taken once it is there, though the call that asked has returned the older one", async () => {
  resolver.play(answering(first));
  const one = client({ budgetMs: 50, timeoutMs: 5000 });
  await one.resolve("web");
  const released: (() => void)[] = [];
  resolver.play((request, response) => {
    released.push(() => void answering(second)(request, response));
  });
  nowMs += 2000;
  expect(await one.resolve("web")).toMatchObject({ revision: 7, source: "last-known-good" });
  await until("the request has arrived", () => released.length === 1);
  released[0]?.();
  await until("the late answer is used", async () => (await one.resolve("web")).revision === 8);
  expect(resolver.seen).toHaveLength(2);
});

describe("what is wrong is refused before anything is sent", () => {
  test.each(["", "..", "a/b", "a?b", "-a", "x".repeat(129)])("the service name %j", async (name) => {
    await expect(client().resolve(name)).rejects.toMatchObject({ code: "invalid_argument" });
    expect(resolver.seen).toHaveLength(0);
  });

  test("options: every broken rule at once", () => {
    const broken = {
      url: "ftp://x",
      token: "",
      namespace: "a/b",
      freshMs: -1,
      timeoutMs: 0,
      budgetMs: 9,
      entriesMax: 0,
    };
    expect(() => createClient(broken)).toThrow(
      expect.objectContaining({
        code: "invalid_argument",
        message: expect.stringMatching(/url.*token.*namespace.*freshMs.*timeoutMs.*budgetMs.*entriesMax/),
      }),
    );
    expect(() => createClient({ url: "https://user:pass@x" })).toThrow(/url must be/);
  });
});
