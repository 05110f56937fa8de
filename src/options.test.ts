import { expect, it } from "vitest";
import { createFakeStore } from "../test/resolver/fake-store.ts";
import { createTestPublisher } from "../test/resolver/publish.ts";
import { instance } from "../test/support/instance.ts";
import type { ResolverOptions } from "./options.ts";
import { createResolver } from "./index.ts";
import { fromUpstash, type UpstashClient } from "./store/upstash-client.ts";
import { createUpstashStore } from "./store/upstash.ts";

const least: ResolverOptions = { access: { type: "open" }, store: createFakeStore() };

async function withWeb(options: Partial<ResolverOptions> = {}) {
  const store = createFakeStore();
  const publisher = createTestPublisher(store.write, { now: () => Date.now() });
  publisher.services.set("web", [instance("web-1")]);
  await publisher.fill();
  const resolver = createResolver({ ...least, store, ...options });
  return async (path: string) => (await resolver.fetch(new Request(`http://r${path}`))).status;
}

function jwt(rule: object): object {
  return { type: "keys", keys: [], jwt: { jwksUrl: "https://id.example.com/keys", ...rule } };
}

it("a resolver of nothing but access and store answers, with a clock and whatever else it needs", async () => {
  const look = await withWeb();
  expect([await look("/v1/services/web"), await look("/v1/services/web")]).toEqual([200, 200]);
});

it("a resolver under a path answers there, from memory as well, and nowhere else", async () => {
  const look = await withWeb({ basePath: "/own/discovery" });
  for (const path of ["/v1/services/web", "/v1/services/web/pick?key=a", "/v1/resolve?service=web", "/healthz"]) {
    expect([path, await look(`/own/discovery${path}`)]).toEqual([path, 200]);
    expect([path, await look(`/own/discovery${path}`)]).toEqual([path, 200]);
    expect([path, await look(path)]).toEqual([path, 404]);
    expect([path, await look(`/other${path}`)]).toEqual([path, 404]);
  }
});

it("a store is refused when it is made, not at each lookup, for a URL that is none or in the clear, or without a token", () => {
  const made = (options: object) => () => createUpstashStore({ url: "https://r.example.com", token: "t", ...options });
  expect(made({})).not.toThrow();
  expect(made({ url: "http://127.0.0.1:7071" })).not.toThrow();
  for (const url of ["r.example.com", "http://r.example.com", "", undefined]) {
    expect(made({ url })).toThrow("url must be an https:// URL");
  }
  for (const token of ["", undefined]) expect(made({ token })).toThrow("token is required");
});

it.each([undefined, null, {}, "https://r.example.com"])(
  "a store is refused when it is made of %j as a client",
  (client) => {
    expect(() => fromUpstash(client as UpstashClient)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining("@upstash/redis") }),
    );
  },
);

it("what is there and undefined takes its default", () => {
  const undefinedAll = Object.fromEntries(["clock", "log", "namespaces", "memory"].map((name) => [name, undefined]));
  expect(() => createResolver({ ...least, ...undefinedAll, freshness: {} })).not.toThrow();
});

it.each([[["*"]], [[]], [["https://example.com", "http://127.0.0.1:8080"]]])(
  "a resolver takes the origins %j, as their variable does",
  (corsOrigins) => expect(() => createResolver({ ...least, corsOrigins })).not.toThrow(),
);

it.each<[object, string[]]>([
  [{ access: undefined, store: undefined }, ["store", "access"]],
  [{ access: { type: "keys", keys: [] } }, ["access"]],
  [{ access: { type: "keys" } }, ["access"]],
  [{ access: "open" }, ["access"]],
  [{ namespaces: "default" }, ["namespaces"]],
  [{ access: jwt({}) }, ["access.jwt"]],
  [{ access: jwt({ issuer: "i" }) }, ["access.jwt"]],
  [{ access: jwt({ issuer: "i", audience: "a", jwksUrl: "http://id.example.com" }) }, ["access.jwt.jwksUrl"]],
  [{ rateLimit: { perSecond: 0 } }, ["rateLimit.perSecond"]],
  [{ rateLimit: { perSecond: Number.NaN } }, ["rateLimit.perSecond"]],
  [{ corsOrigins: "https://example.com" }, ["corsOrigins"]],
  [{ corsOrigins: ["https://example.com/"] }, ["corsOrigins"]],
  [{ corsOrigins: ["https://Example.com"] }, ["corsOrigins"]],
  [{ corsOrigins: ["https://example.com:443"] }, ["corsOrigins"]],
  [{ corsOrigins: ["https://example.com", "*"] }, ["corsOrigins"]],
  [{ corsOrigins: [7] }, ["corsOrigins"]],
  [{ corsOrigins: Array.from({ length: 101 }, (_, index) => `https://${index}.example.com`) }, ["corsOrigins"]],
  [{ namespaces: [] }, ["namespaces"]],
  [{ namespaces: ["a/b"] }, ["namespaces"]],
  [{ basePath: "discovery" }, ["basePath"]],
  [{ basePath: "/discovery/" }, ["basePath"]],
  [{ basePath: "/:any" }, ["basePath"]],
  [{ freshness: { freshMs: 3000 } }, ["swrMs"]],
  [{ freshness: { budgetMs: Number.NaN }, memory: { bytesMax: 0 } }, ["budgetMs", "bytesMax"]],
  [{ watchersMax: "7" }, ["watchersMax"]],
])("a resolver is not made of %j, and all that is wrong is named", (wrong, expected) => {
  expect(() => createResolver({ ...least, ...wrong })).toThrow(
    expect.objectContaining({
      code: "invalid_argument",
      violations: expected.map((parameter) => expect.objectContaining({ parameter })),
      message: expect.stringContaining(expected[0] ?? ""),
    }),
  );
});
