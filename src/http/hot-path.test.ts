import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Instance } from "../../contract/snapshot.ts";
import { sha256 } from "../../kernel/secret.ts";
import { createFixture, type Fixture, type FixtureOptions } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";
import { parseScope } from "../access/scopes.ts";
import type { Location } from "../platform.ts";

const NAMES = ["web", "api"];
const background = () => undefined;

async function filled(instances: readonly Instance[], options: FixtureOptions = {}): Promise<Fixture> {
  const fixture = createFixture(options);
  for (const name of NAMES) fixture.publisher.services.set(name, instances);
  await fixture.publisher.fill();
  for (const name of NAMES) await fixture.get(`/v1/services/${name}`, { authorization: "Bearer all" });
  return fixture;
}

async function wholeOf(response: Response): Promise<unknown> {
  return { status: response.status, headers: [...response.headers], body: await response.text() };
}

/** How often the URL is read for an answer: once or twice on the hot path, and more often to route it. */
async function urlReads({ resolver }: Fixture, path: string): Promise<number> {
  let reads = 0;
  class CountedRequest extends Request {
    override get url(): string {
      reads++;
      return super.url;
    }
  }
  await resolver.fetch(new CountedRequest(`http://resolver${path}`), { background });
  return reads;
}

const someOf = <T>(...values: readonly T[]) => fc.option(fc.constantFrom(...values), { nil: undefined });

const instances = fc
  .array(
    fc.record({
      version: someOf("1.4.2", "2.0.0", "not a version"),
      region: someOf("eu", "us", "DE"),
      zone: someOf("eu-1", "eu-2", "FRA"),
      weight: fc.constantFrom(0, 1, 100),
      tags: fc.subarray(["blue", "a&b", "ü"]),
      metadata: fc.constantFrom<Record<string, string>>({}, { team: "x" }, { key: "1" }),
      status: fc.constantFrom("up", "suspect", "draining", "down"),
    }),
    { maxLength: 6 },
  )
  .map((drawn) =>
    drawn.map((fields, index) => {
      const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
      return instance(`i${index}`, given);
    }),
  );

const PARAMETERS: readonly (readonly [string, readonly string[]])[] = [
  ["version", ["^1.4", ">=1 <3", "latest"]],
  ["tag", ["blue", "a&b", "ü", "x?key=1"]],
  ["region", ["eu", "us"]],
  ["zone", ["eu-1", "FRA"]],
  ["meta.team", ["x", ""]],
  ["meta.key", ["1"]],
  ["health", ["all", "healthy", "healthy-or-all"]],
  ["near", ["auto", "eu", "eu-2"]],
  ["limit", ["1", "2", "0"]],
  ["key", ["", "user-1", "~._-", "a b", "ü&=", "100%"]],
];

const query = fc
  .array(
    fc.constantFrom(...PARAMETERS).chain(([name, values]) => fc.tuple(fc.constant(name), fc.constantFrom(...values))),
    { maxLength: 4 },
  )
  .chain((pairs) =>
    fc.tuple(
      ...pairs.map(([name, value]) =>
        fc
          .constantFrom(encodeURIComponent, encodeURI, percentEncoded)
          .map((encode) => `${encode(name)}=${encode(value)}`),
      ),
    ),
  )
  .map((parameters) => (parameters.length === 0 ? "" : `?${parameters.join("&")}`));

function percentEncoded(text: string): string {
  return [...new TextEncoder().encode(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
}

describe("a URL that was answered before", () => {
  it("is answered with the same status, headers and bytes as one that has to be read, now and later", async () => {
    const digest = await sha256("all");
    await fc.assert(
      fc.asyncProperty(
        instances,
        query,
        fc.constantFrom("", "/pick"),
        someOf<Location>({ colo: "FRA", country: "DE", continent: "EU" }, {}),
        fc.constantFrom(0, 500, 1500, 3000, 20_000, 70_000),
        fc.constantFrom(undefined, "*", "tag"),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        async (drawn, search, suffix, location, laterMs, ifNoneMatch, chance) => {
          const options: FixtureOptions = {
            access: { type: "keys", keys: [{ name: "all", digest }] },
            random: () => chance,
            platform: { background, location },
          };
          const [hot, cold] = [await filled(drawn, options), await filled(drawn, options)];
          const path = `/v1/services/web${suffix}${search}`;
          const headers: Record<string, string> = { authorization: "Bearer all" };
          const tag = (await hot.get(path, headers)).headers.get("etag");
          if (ifNoneMatch !== undefined) headers["if-none-match"] = ifNoneMatch === "tag" ? (tag ?? "") : ifNoneMatch;
          for (const { clock } of [hot, cold]) await clock.advance(laterMs);
          const remembered = await wholeOf(await hot.get(path, headers));
          expect(remembered).toEqual(await wholeOf(await cold.get(path, headers)));
          expect(await wholeOf(await hot.get(path, headers))).toEqual(await wholeOf(await cold.get(path, headers)));
        },
      ),
      { numRuns: 150 },
    );
  });

  it.each([
    ["", 1],
    ["?tag=blue", 1],
    ["?near=auto&limit=1", 1],
    ["/pick", 1],
    ["/pick?tag=blue", 1],
    ["/pick?key=user-2&tag=blue", 2],
  ])("is not routed again: %s", async (suffix, reads) => {
    const fixture = await filled([instance("a", { tags: ["blue"] })]);
    const path = `/v1/services/web${suffix}`;
    const first = await urlReads(fixture, path.replace("user-2", "user-1"));
    expect(await urlReads(fixture, path)).toBe(suffix === "" ? first : reads);
    expect(await urlReads(fixture, path)).toBe(reads);
  });

  it("is read again for HEAD, when its key is escaped, and when it is too long to be remembered", async () => {
    const fixture = await filled([instance("a")]);
    for (const path of ["web/pick?key=a%20b", `web?${"tag=x&".repeat(60)}meta.long=${"x".repeat(400)}`]) {
      const first = await urlReads(fixture, `/v1/services/${path}`);
      expect(first).toBeGreaterThan(2);
      expect(await urlReads(fixture, `/v1/services/${path}`)).toBe(first);
    }
    const head = await fixture.get("/v1/services/web", {}, "HEAD");
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  it("is answered by what is held now, once its service has changed, ended, and come again", async () => {
    const fixture = await filled([instance("a", { tags: ["blue"] })]);
    const ask = async (suffix: string) => {
      const response = await fixture.get(`/v1/services/web${suffix}`);
      return response.status === 200 ? (/"id":"([^"]+)"/.exec(await response.text())?.[1] ?? "none") : response.status;
    };
    const askAll = async () => [await ask("?tag=blue"), await ask("/pick"), await ask("/pick?key=k"), await ask("")];
    expect(await askAll()).toEqual(["a", "a", "a", "a"]);
    expect(await askAll()).toEqual(["a", "a", "a", "a"]);
    await fixture.publisher.put("web", [instance("b", { tags: ["blue"] })]);
    await fixture.clock.advance(2500);
    expect(await askAll()).toEqual(["b", "b", "b", "b"]);
    await fixture.publisher.end("web", fixture.clock.now() + 60_000);
    await fixture.clock.advance(2500);
    expect(await askAll()).toEqual(["none", 503, 503, "none"]);
    await fixture.clock.advance(60_000);
    expect(await askAll()).toEqual([404, 404, 404, 404]);
    await fixture.publisher.put("web", [instance("c", { tags: ["blue"] })]);
    await fixture.clock.advance(2500);
    expect(await askAll()).toEqual(["c", "c", "c", "c"]);
  });

  it("opens to nobody who may not see it, and is refused in the same words as before", async () => {
    const scope = parseScope("default/api");
    if (!scope) throw new Error("the scope is not one");
    const keys = [
      { name: "all", digest: await sha256("all") },
      { name: "api", digest: await sha256("api"), scopes: [scope] },
    ];
    const fixture = await filled([instance("a")], { access: { type: "keys", keys } });
    const path = "/v1/services/web?limit=1";
    const ask = async (headers: Record<string, string>) => wholeOf(await fixture.get(path, headers));
    const refused = [
      await ask({}),
      await ask({ authorization: "Bearer wrong" }),
      await ask({ authorization: "Bearer api" }),
    ];
    expect(refused).toMatchObject([{ status: 401 }, { status: 401 }, { status: 403 }]);
    for (let round = 0; round < 2; round++) {
      expect(await ask({ authorization: "Bearer all" })).toMatchObject({ status: 200 });
      expect([
        await ask({}),
        await ask({ authorization: "Bearer wrong" }),
        await ask({ authorization: "Bearer api" }),
      ]).toEqual(refused);
    }
  });
});

it("nothing is at a path with a slash at its end, asked once or again, in the default namespace or one that is named", async () => {
  const fixture = await filled([instance("a")]);
  const inNamespace = [
    "/services",
    "/services/web",
    "/services/web/pick",
    "/services/web/watch",
    "/resolve?service=web",
  ];
  for (const prefix of ["/v1", "/v1/namespaces/default"]) {
    for (const path of [...inNamespace.map((each) => prefix + each), "/healthz", "/readyz", "/openapi.json", "/docs"]) {
      const url = new URL(path, "http://resolver");
      for (const method of ["GET", "GET", "HEAD"]) {
        const slashed = await fixture.get(`${url.pathname}/${url.search}`, {}, method);
        expect([path, method, slashed.status]).toEqual([path, method, 404]);
      }
      const { status, body } = await fixture.get(path);
      await body?.cancel();
      expect([path, status]).toEqual([path, 200]);
    }
  }
});
