import { expect, it } from "vitest";
import { sha256 } from "../../kernel/secret.ts";
import { createFixture, type FixtureOptions } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";

const PAGE = "https://app.example.com";

async function fixture(corsOrigins: readonly string[], options: FixtureOptions = {}) {
  const made = createFixture({ corsOrigins, ...options });
  made.publisher.services.set("web", [instance("web-1")]);
  await made.publisher.fill();
  return made;
}

const preflight = {
  origin: PAGE,
  "access-control-request-method": "GET",
  "access-control-request-headers": "authorization",
};

it("pages of other origins read nothing unless their origin is configured", async () => {
  for (const origins of [[], ["https://other.example.com"]]) {
    const edge = await fixture(origins);
    for (const response of [
      await edge.get("/v1/services/web", { origin: PAGE }),
      await edge.get("/v1/services/web", preflight, "OPTIONS"),
    ]) {
      expect([...response.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
  }
});

it("a request that is not a browser's is answered alike with CORS on and off, but for Vary", async () => {
  const [on, off] = await Promise.all([fixture([PAGE]), fixture([])]);
  const [with_, without] = [await on.get("/v1/services/web"), await off.get("/v1/services/web")];
  expect(Object.fromEntries(with_.headers)).toEqual({ ...Object.fromEntries(without.headers), vary: "Origin" });
});

it("OPTIONS that is no preflight is not offered", async () => {
  const edge = await fixture([PAGE]);
  expect((await edge.get("/v1/services/web", { origin: PAGE }, "OPTIONS")).status).toBe(405);
});

it("a preflight from a configured origin is answered without a credential, though one is needed to look up", async () => {
  const keys = [{ name: "ci", digest: await sha256("key") }];
  const edge = await fixture(["https://x.example.com", PAGE], { access: { type: "keys", keys } });
  const response = await edge.get("/v1/services/web", preflight, "OPTIONS");
  expect([response.status, Object.fromEntries(response.headers)]).toEqual([
    204,
    {
      "access-control-allow-origin": PAGE,
      "access-control-allow-methods": "GET, HEAD",
      "access-control-allow-headers": "Authorization, Cache-Control, If-None-Match, Last-Event-ID",
      "access-control-max-age": "600",
      vary: "Origin",
    },
  ]);
  expect(edge.store.requests).toEqual([]);
});

it.each([
  ["/v1/services/web", { authorization: "Bearer key" }, 200],
  ["/v1/services/web", { authorization: "Bearer key", "if-none-match": "*" }, 304],
  ["/v1/services/web", {}, 401],
  ["/v1/services/web?color=red", { authorization: "Bearer key" }, 400],
  ["/v1/services/none", { authorization: "Bearer key" }, 404],
  ["/nowhere", {}, 404],
])("a page may read the answer to %s %j, which is %i, with its headers", async (path, headers, status) => {
  const keys = [{ name: "ci", digest: await sha256("key") }];
  const edge = await fixture([PAGE], { access: { type: "keys", keys } });
  const response = await edge.get(path, { origin: PAGE, ...headers });
  expect(response.status).toBe(status);
  expect(response.headers.get("access-control-allow-origin")).toBe(PAGE);
  expect(response.headers.get("vary")).toBe("Origin");
  const exposed = (response.headers.get("access-control-expose-headers") ?? "").toLowerCase().split(", ");
  const told = [...response.headers.keys()].filter((name) =>
    /^(fingerpost-|age$|etag|retry-after|cache-status)/.test(name),
  );
  expect(told.filter((name) => !exposed.includes(name))).toEqual([]);
});

it("any page may read answers where any origin is configured, and none with a browser's own credentials", async () => {
  const edge = await fixture(["*"]);
  const response = await edge.get("/v1/services/web", { origin: PAGE });
  expect(response.headers.get("access-control-allow-origin")).toBe("*");
  expect(response.headers.get("access-control-allow-credentials")).toBeNull();
  expect(response.headers.get("vary")).toBeNull();
});
