import { beforeEach, describe, expect, it } from "vitest";
import type { PickAnswer, ResolveAnswer, ServiceAnswer, ServicesAnswer } from "../contract/http.ts";
import type { Problem } from "../contract/problem.ts";
import { sha256 } from "../kernel/secret.ts";
import { createFixture, type Fixture } from "../test/resolver/fixture.ts";
import { createTestPublisher } from "../test/resolver/publish.ts";
import { instance } from "../test/support/instance.ts";

let fixture: Fixture;

beforeEach(async () => {
  fixture = createFixture();
  const { services } = fixture.publisher;
  services.set("web", [
    instance("web-1", { version: "1.4.2", region: "eu", tags: ["blue"], metadata: { team: "edge" } }),
    instance("web-2", { version: "2.0.0", region: "us", weight: 0 }),
    instance("web-3", { status: "down", cause: "heartbeat" }),
  ]);
  services.set("empty", []);
  services.set("gone", [instance("gone-1", { status: "down" })]);
  await fixture.publisher.fill();
});

async function json<T>(path: string, headers: Record<string, string> = {}): Promise<T> {
  return (await (await fixture.get(path, headers)).json()) as T;
}

async function violations(path: string): Promise<readonly (string | undefined)[]> {
  const response = await fixture.get(path);
  expect(response.status).toBe(400);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  return ((await response.json()) as Problem).errors?.map(({ parameter }) => parameter) ?? [];
}

describe("GET /v1/services/{service}", () => {
  it("answers a snapshot with its instances and what is known of its freshness", async () => {
    const response = await fixture.get("/v1/services/web");
    const body = (await response.json()) as ServiceAnswer;
    expect(Object.keys(body)).toEqual([
      "namespace",
      "service",
      "epoch",
      "revision",
      "etcdRevision",
      "publishedAt",
      "instances",
    ]);
    expect(body.instances.map(({ id }) => id)).toEqual(["web-1", "web-2"]);
    expect(body.instances[0]).toEqual(fixture.publisher.services.get("web")?.[0]);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      age: "0",
      "cache-control": "private, no-cache",
      "cache-status": "fingerpost; fwd=miss",
      "content-type": "application/json",
      etag: expect.stringMatching(/^"[^"]+"$/) as string,
      "fingerpost-age-ms": "0",
      "fingerpost-revision": "11",
      "fingerpost-source": "redis",
      "fingerpost-stale": "false",
    });
    expect((await fixture.get("/v1/services/web")).headers.get("cache-status")).toBe("fingerpost; hit");
  });

  it.each([
    ["version=^1.4", ["web-1"]],
    ["version=*", ["web-1", "web-2"]],
    ["version=x", ["web-1", "web-2"]],
    ["tag=blue", ["web-1"]],
    ["tag=blue&tag=green", []],
    ["region=us", ["web-2"]],
    ["meta.team=edge", ["web-1"]],
    ["health=all", ["web-1", "web-2", "web-3"]],
    ["health=healthy&limit=1", ["web-1"]],
  ])("with ?%s answers only what matches", async (query, expected) => {
    const body = await json<ServiceAnswer>(`/v1/services/web?${query}`);
    expect(body.instances.map(({ id }) => id)).toEqual(expected);
  });

  it.each([
    ["color=red", ["color"]],
    ["limit=0", ["limit"]],
    ["limit=1&limit=2", ["limit"]],
    ["version=latest", ["version"]],
    ["version=", ["version"]],
    ["version=%20%09", ["version"]],
    ["health=sick&zone=-", ["zone", "health"]],
    [`version=${"1".repeat(200)}`, ["version"]],
    ["key=a", ["key"]],
    ["near=_eu", ["near"]],
    ["meta.=edge", ["meta."]],
  ])("with ?%s is refused, and every parameter that is wrong is named", async (query, expected) => {
    expect(await violations(`/v1/services/web?${query}`)).toEqual(expected);
  });

  it("is 400 for what is not a name, 404 for an unknown service, and 200 without instances for a known one", async () => {
    expect(await violations("/v1/services/_web")).toEqual(["service"]);
    expect(await violations(`/v1/services/${"a".repeat(129)}`)).toEqual(["service"]);
    expect(await violations("/v1/services/%2e%2e%2fhead")).toEqual(["service"]);
    expect((await fixture.get("/v1/services/nope")).status).toBe(404);
    expect((await json<ServiceAnswer>("/v1/services/empty")).instances).toEqual([]);
    expect((await json<ServiceAnswer>("/v1/services/gone")).instances).toEqual([]);
  });

  it("answers 304 to whoever has the same, and 200 again once it changed", async () => {
    const etag = (await fixture.get("/v1/services/web")).headers.get("etag") ?? "";
    for (const header of [etag, `"other", W/${etag}`, "*"]) {
      const response = await fixture.get("/v1/services/web", { "if-none-match": header });
      expect(response.status).toBe(304);
      expect(response.headers.get("etag")).toBe(etag);
      expect(response.headers.get("fingerpost-source")).toBe("memory");
      expect(await response.text()).toBe("");
    }
    await fixture.publisher.put("web", [instance("web-9")]);
    await fixture.clock.advance(3000);
    expect((await fixture.get("/v1/services/web", { "if-none-match": etag })).status).toBe(200);
  });

  it("answers HEAD without a body", async () => {
    const response = await fixture.get("/v1/services/web", {}, "HEAD");
    expect(response.status).toBe(200);
    expect(response.headers.get("etag")).not.toBeNull();
    expect(await response.text()).toBe("");
  });
});

describe("GET /v1/services/{service}/pick", () => {
  it("answers one instance that may not be stored, and never one of weight 0", async () => {
    const response = await fixture.get("/v1/services/web/pick");
    const body = (await response.json()) as PickAnswer;
    expect(body.instance.id).toBe("web-1");
    expect(body).not.toHaveProperty("instances");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.get("etag")).toBeNull();
  });

  it("takes the same filters and a key", async () => {
    expect((await json<PickAnswer>("/v1/services/web/pick?region=us")).instance.id).toBe("web-2");
    expect((await json<PickAnswer>("/v1/services/web/pick?health=all&key=user-1")).instance.id).toMatch(/web-[13]/);
    expect(await violations("/v1/services/web/pick?keys=a")).toEqual(["keys"]);
  });

  it("is 503 with Retry-After when nothing matches", async () => {
    for (const path of ["/v1/services/empty/pick", "/v1/services/gone/pick", "/v1/services/web/pick?tag=none"]) {
      const response = await fixture.get(path);
      expect(response.status).toBe(503);
      expect(response.headers.get("retry-after")).toBe("1");
      expect(((await response.json()) as Problem).detail).toContain("No instance");
    }
  });
});

describe("GET /v1/services", () => {
  it("pages through all names in order, each page told apart by its tag", async () => {
    for (let index = 0; index < 25; index++) fixture.publisher.services.set(`s-${index}`, [instance("i")]);
    await fixture.publisher.fill();
    const names: string[] = [];
    const tags = new Set<string | null>();
    let cursor: string | undefined;
    do {
      const response = await fixture.get(`/v1/services?limit=10${cursor === undefined ? "" : `&cursor=${cursor}`}`);
      tags.add(response.headers.get("etag"));
      const page = (await response.json()) as ServicesAnswer;
      names.push(...page.services.map(({ name }) => name));
      cursor = page.next;
    } while (cursor !== undefined);
    expect(names).toEqual([...fixture.publisher.services.keys()].toSorted());
    expect(tags.size).toBe(3);
  });

  it("tells counts, and a name the ring added before the catalog has it", async () => {
    await fixture.get("/v1/services");
    await fixture.publisher.put("late", [instance("late-1")]);
    await fixture.clock.advance(3000);
    const page = await json<ServicesAnswer>("/v1/services");
    expect(page.services).toEqual([
      { name: "empty", instances: 0 },
      { name: "gone", instances: 1 },
      { name: "late", instances: 1 },
      { name: "web", instances: 3 },
    ]);
  });

  it("lists what is held while Redis is away, and 503 when nothing is", async () => {
    fixture.store.failing = true;
    expect((await fixture.get("/v1/services")).status).toBe(503);
    fixture.store.failing = false;
    await fixture.clock.advance(2000);
    await fixture.get("/v1/services");
    fixture.store.failing = true;
    await fixture.clock.advance(5000);
    const response = await fixture.get("/v1/services");
    expect(response.status).toBe(200);
    expect(response.headers.get("fingerpost-source")).toBe("last-known-good");
    expect(response.headers.get("fingerpost-stale")).toBe("true");
  });

  it("refuses limits out of bounds and cursors that are no names", async () => {
    expect(await violations("/v1/services?limit=1001&cursor=_")).toEqual(["limit", "cursor"]);
  });
});

describe("GET /v1/resolve", () => {
  it("answers each name once, at the cost of one reading, and tells the ones it cannot", async () => {
    const body = await json<ResolveAnswer>("/v1/resolve?service=web&service=empty&service=web&service=nope");
    expect(Object.keys(body.services)).toEqual(["web", "empty"]);
    expect(body.services["web"]?.instances).toHaveLength(2);
    expect(body.errors).toEqual({ nope: { code: "not_found", detail: 'There is no service "nope".' } });
    expect(fixture.store.requests.map((keys) => keys.length)).toEqual([4, 2]);
  });

  it("takes at most 50 names, and at least one", async () => {
    const names = (count: number) => Array.from({ length: count }, (_, index) => `service=s${index}`).join("&");
    expect(await violations(`/v1/resolve?${names(51)}`)).toEqual(["service"]);
    expect(await violations("/v1/resolve")).toEqual(["service"]);
    expect((await fixture.get(`/v1/resolve?${names(50)}`)).status).toBe(200);
  });
});

describe("namespaces", () => {
  it("are served only where configured, and no other reaches Redis", async () => {
    expect((await fixture.get("/v1/namespaces/default/services/web")).status).toBe(200);
    const before = fixture.store.requests.length;
    for (const path of ["services/web", "services", "services/web/pick", "resolve?service=web"]) {
      expect((await fixture.get(`/v1/namespaces/other/${path}`)).status).toBe(404);
    }
    expect(await violations("/v1/namespaces/_other/services")).toEqual(["namespace"]);
    expect(fixture.store.requests.length).toBe(before);
  });

  it("are kept apart, and the first is the default", async () => {
    const two = createFixture({ namespaces: ["default", "shop"] });
    two.publisher.services.set("web", [instance("web-1")]);
    await two.publisher.fill();
    expect((await two.get("/v1/services/web")).status).toBe(200);
    expect((await two.get("/v1/namespaces/shop/services/web")).status).toBe(503);
    expect(two.store.requests.at(-1)).toEqual(["fp:{shop}:head", "fp:{shop}:s:web"]);
  });
});

describe("access", () => {
  it("is refused without a key, with a wrong one and with another scheme, and nothing is read for it", async () => {
    const guarded = createFixture({
      access: { type: "keys", keys: [{ name: "ci", digest: await sha256("secret") }] },
    });
    for (const authorization of ["", "Bearer wrong", "Basic secret", `Bearer ${"a".repeat(9000)}`]) {
      const response = await guarded.get("/v1/services/web", authorization === "" ? {} : { authorization });
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe('Bearer realm="fingerpost"');
    }
    expect(guarded.store.requests).toEqual([]);
    const authorization = "bearer secret";
    expect((await guarded.get("/v1/services/web", { authorization })).status).toBe(503);
    expect((await guarded.get("/v1/services/_web", { authorization })).status).toBe(400);
    expect((await guarded.get("/healthz")).status).toBe(200);
  });
});

describe("everything else", () => {
  it("is 404 for paths, and 405 with Allow for methods", async () => {
    expect((await fixture.get("/v2/services")).status).toBe(404);
    expect((await fixture.get("/v2/services", {}, "HEAD")).status).toBe(404);
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
      const response = await fixture.get("/v1/services/web", {}, method);
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("GET, HEAD");
      expect(response.headers.get("content-type")).toBe("application/problem+json");
    }
  });

  it("is ready once a complete head is known, and stays so while Redis is away", async () => {
    await fixture.publisher.writeHead({ complete: false });
    const response = await fixture.get("/readyz");
    expect(response.status).toBe(503);
    expect(((await response.json()) as Problem).detail).toContain("No complete head");
    await fixture.publisher.writeHead();
    await fixture.clock.advance(1000);
    expect((await fixture.get("/readyz")).status).toBe(200);
    fixture.store.failing = true;
    await fixture.clock.advance(60_000);
    expect((await fixture.get("/readyz")).status).toBe(200);
  });
});

it("a busy namespace may use the memory that others leave, and theirs is taken only when it is all used", async () => {
  const many = createFixture({ namespaces: ["default", "busy", "idle"], memory: { entriesMax: 4 } });
  const busy = createTestPublisher(many.store.write, { namespace: "busy", now: () => many.clock.now() });
  for (const name of ["a", "b", "c", "d"]) busy.services.set(name, [instance(name)]);
  many.publisher.services.set("a", [instance("a")]);
  await Promise.all([busy.fill(), many.publisher.fill()]);
  const sources = async (...paths: readonly string[]) => {
    const found: (string | null)[] = [];
    for (const path of paths) found.push((await many.get(`/v1/${path}`)).headers.get("fingerpost-source"));
    return found;
  };
  const own = "services/a";
  const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => `namespaces/busy/services/${name}`) as [
    string,
    string,
    string,
    string,
  ];
  expect(await sources(a, b, c, d)).toEqual(["redis", "redis", "redis", "redis"]);
  expect(await sources(a, b, c, d)).toEqual(["memory", "memory", "memory", "memory"]);
  // The least recently used goes, which is not this namespace's own service of the same name.
  expect(await sources(own, own, b, c, d)).toEqual(["redis", "memory", "memory", "memory", "memory"]);
  expect(await sources(a, b, c, d, own)).toEqual(["redis", "memory", "memory", "memory", "redis"]);
});
