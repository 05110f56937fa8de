import { beforeEach, describe, expect, it } from "vitest";
import type { ResolveAnswer, ServicesAnswer } from "../../contract/http.ts";
import type { Problem } from "../../contract/problem.ts";
import { sha256 } from "../../kernel/secret.ts";
import { createFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";
import { createAccess } from "./access.ts";

let fixture: Fixture;

const SCOPES = [
  { namespace: "default", service: "web-*" },
  { namespace: "default", service: "none" },
  { namespace: "prod", service: "*" },
];

/** `web-*` in `default`, and all of `prod`, which is not served; `shop` is served, and outside. */
beforeEach(async () => {
  fixture = createFixture({
    namespaces: ["default", "shop"],
    access: {
      type: "keys",
      keys: [
        { name: "ci", digest: await sha256("scoped"), scopes: SCOPES },
        { name: "ops", digest: await sha256("everything") },
      ],
    },
  });
  for (const name of ["hidden", "web-a", "web-b", "web-c", "zz-last"]) {
    fixture.publisher.services.set(name, [instance(`${name}-1`)]);
  }
  await fixture.publisher.fill();
});

const get = (path: string, token = "scoped", headers = {}, method = "GET") =>
  fixture.get(path, { authorization: `Bearer ${token}`, ...headers }, method);

async function whole(response: Response): Promise<unknown> {
  return { status: response.status, headers: [...response.headers], body: await response.text() };
}

describe("a service outside the caller's scopes", () => {
  it.each([
    ["/v1/services/NAME", {}, "GET"],
    ["/v1/services/NAME", { "if-none-match": "*" }, "GET"],
    ["/v1/services/NAME", {}, "HEAD"],
    ["/v1/services/NAME?color=red", {}, "GET"],
    ["/v1/services/NAME/pick?key=a", {}, "GET"],
    ["/v1/resolve?service=NAME", {}, "GET"],
    ["/v1/namespaces/default/services/NAME", {}, "GET"],
  ])("answers %s (%j, %s) alike byte for byte, there or not, and Redis is not asked", async (path, headers, method) => {
    for (const token of ["wrong", "everything"]) {
      // Asked for by who may see it, the service is known to the resolver in the second round.
      await get("/v1/services/hidden", token);
      const asked = fixture.store.requests.length;
      const [there, not] = await Promise.all(
        ["hidden", "absent"].map(async (name) =>
          whole(await get(path.replace("NAME", name), "scoped", headers, method)),
        ),
      );
      expect(there).toMatchObject({ status: 403 });
      expect(JSON.parse(JSON.stringify(there).replaceAll("hidden", "absent"))).toEqual(not);
      expect(fixture.store.requests).toHaveLength(asked);
    }
  });

  it("is an error of its own in a resolve, there or not, and the headers are those of the others", async () => {
    await get("/v1/resolve?service=web-a&service=web-b");
    const alone = await get("/v1/resolve?service=web-a&service=web-b");
    const there = await get("/v1/resolve?service=hidden&service=web-a&service=web-b");
    const not = await get("/v1/resolve?service=absent&service=web-a&service=web-b");
    const [body, other] = [await there.text(), await not.text()];
    expect(Object.keys((JSON.parse(body) as ResolveAnswer).services)).toEqual(["web-a", "web-b"]);
    expect((JSON.parse(body) as ResolveAnswer).errors["hidden"]?.code).toBe("permission_denied");
    expect(body.replaceAll("hidden", "absent")).toBe(other);
    const { etag: _, ...headers } = Object.fromEntries(there.headers);
    const { etag: __, ...expected } = Object.fromEntries(alone.headers);
    expect(headers).toEqual(expected);
    expect(fixture.store.requests.flat().join(" ")).not.toMatch(/hidden|absent/);
  });
});

it("a service within the scopes answers as it would anybody, and one that is not there is 404", async () => {
  expect(await whole(await get("/v1/services/web-a"))).toMatchObject({ status: 200 });
  expect(await whole(await get("/v1/services/none"))).toMatchObject({ status: 404 });
  expect(await whole(await get("/v1/namespaces/prod/services/web"))).toMatchObject({ status: 404 });
  expect(await whole(await get("/v1/services/hidden", "everything"))).toMatchObject({ status: 200 });
});

it.each(["services", "services/web", "services/web/pick", "resolve?service=web"])(
  "a namespace outside the scopes answers /%s alike, served or not",
  async (path) => {
    const [served, not] = await Promise.all(
      ["shop", "nope"].map(async (name) => whole(await get(`/v1/namespaces/${name}/${path}`))),
    );
    expect(served).toMatchObject({ status: 403 });
    expect(JSON.parse(JSON.stringify(served).replaceAll("shop", "nope"))).toEqual(not);
    expect(fixture.store.requests).toEqual([]);
  },
);

describe("a listing", () => {
  async function pages(token: string, limit: number): Promise<readonly ServicesAnswer[]> {
    const all: ServicesAnswer[] = [];
    let cursor = "";
    do {
      const page = (await (await get(`/v1/services?limit=${limit}${cursor}`, token)).json()) as ServicesAnswer;
      all.push(page);
      cursor = page.next === undefined ? "" : `&cursor=${page.next}`;
    } while (cursor !== "");
    return all;
  }

  it.each([1, 2, 3, 4])(
    "shows what the caller may see, in full pages of %i, and no cursor past the last",
    async (limit) => {
      const all = await pages("scoped", limit);
      const names = all.flatMap(({ services }) => services.map(({ name }) => name));
      expect(names).toEqual(["web-a", "web-b", "web-c"]);
      expect(all).toHaveLength(Math.ceil(3 / limit));
      expect(
        all.slice(0, -1).every(({ services, next }) => services.length === limit && names.includes(next ?? "")),
      ).toBe(true);
    },
  );

  it("does not tell whether a cursor that is hidden exists", async () => {
    await get("/v1/services");
    const [there, not] = await Promise.all(
      ["zz-last", "zz-none"].map(async (cursor) => whole(await get(`/v1/services?cursor=${cursor}`))),
    );
    expect(there).toEqual(not);
  });

  it("shows everything to a key without scopes", async () => {
    expect((await pages("everything", 2)).flatMap(({ services }) => services)).toHaveLength(5);
  });
});

describe("an Authorization header", () => {
  it.each([
    ["bearer scoped", 200],
    ["Bearer   scoped", 200],
    ["Bearer scoped, Bearer scoped", 401],
    ["Bearer sco ped", 401],
    ["Bearer", 401],
    ["Bearer =scoped", 401],
    ["Basic scoped", 401],
    ["scoped", 401],
    ["Bearer Scoped", 401],
    [`Bearer ${"x".repeat(100_000)}`, 401],
    [`Bearer ${" ".repeat(100_000)}x`, 401],
  ])("of %.40j is answered %i", async (authorization, status) => {
    const response = await fixture.get("/v1/services/web-a", { authorization });
    expect(response.status).toBe(status);
    expect(response.headers.get("www-authenticate")).toBe(status === 401 ? 'Bearer realm="fingerpost"' : null);
  });

  it("that was verified is taken at once while it is remembered, and verified again after a minute", async () => {
    const request = new Request("http://resolver/v1/services/web-a", { headers: { authorization: "Bearer scoped" } });
    const cold = fixture.resolver.fetch(request);
    expect(cold).toBeInstanceOf(Promise);
    await cold;
    await fixture.clock.advance(500);
    expect(fixture.resolver.fetch(request)).toBeInstanceOf(Response);
    await fixture.clock.advance(59_499);
    await get("/v1/services/web-a", "everything");
    expect(fixture.resolver.fetch(request)).toBeInstanceOf(Response);
    await fixture.clock.advance(1);
    expect(fixture.resolver.fetch(request)).toBeInstanceOf(Promise);
  });

  it("is remembered once for all its spellings, so that one token cannot push out those of others", async () => {
    const fetchAs = (authorization: string) =>
      fixture.resolver.fetch(new Request("http://resolver/v1/services/web-a", { headers: { authorization } }));
    const other = "Bearer everything";
    await fetchAs(other);
    await fetchAs("bearer scoped");
    for (let spaces = 1; spaces <= 1100; spaces++) {
      expect(fetchAs(`bEARER${" ".repeat(spaces)}scoped`)).toBeInstanceOf(Response);
    }
    expect(fetchAs("Bearer scoped")).toBeInstanceOf(Response);
    expect(fetchAs(other)).toBeInstanceOf(Response);
  });

  it("that is in use stays remembered, however many others come once", async () => {
    const names = Array.from({ length: 1002 }, (_, index) => `key-${index}`);
    const keys = await Promise.all(names.map(async (name) => ({ name, digest: await sha256(name) })));
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const access = createAccess({ rule: { type: "keys", keys }, clock: fixture.clock, log });
    const admit = (name: string) => {
      const headers = { authorization: `Bearer ${name}` };
      return access.admit(new Request("http://resolver/", { headers }), () => undefined);
    };
    for (const name of names.slice(0, 1000)) await admit(name);
    await admit("key-0");
    for (const name of names.slice(1000)) await admit(name);
    expect(admit("key-0")).not.toBeInstanceOf(Promise);
    expect(admit("key-1")).toBeInstanceOf(Promise);
  });

  it("that is refused is told nothing of the keys there are", async () => {
    const response = await get("/v1/services/web-a", "guess");
    expect((await response.json()) as Problem).toEqual({
      type: "urn:fingerpost:problem:unauthenticated",
      title: "Unauthenticated",
      status: 401,
      code: "unauthenticated",
      detail: "A valid bearer token is required.",
    });
  });
});
