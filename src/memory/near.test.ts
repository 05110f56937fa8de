import * as fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import type { PickAnswer, ResolveAnswer, ServiceAnswer } from "../../contract/http.ts";
import type { Instance } from "../../contract/snapshot.ts";
import { createFixture, type Fixture } from "../../test/resolver/fixture.ts";
import { instance } from "../../test/support/instance.ts";
import { createCloudflarePlatform } from "../cloudflare/platform.ts";
import { createPlaces, readNearRules, type NearRules } from "./near.ts";
import type { Location } from "../platform.ts";
import { candidatesOf, NO_FILTERS, select } from "./selection.ts";

const FRANKFURT: Location = { colo: "FRA", country: "DE", continent: "EU", region: "Hesse", regionCode: "HE" };

const INSTANCES = [
  instance("us", { region: "us-east-1", zone: "us-east-1a" }),
  instance("b1", { region: "eu-central-1", zone: "eu-central-1b" }),
  instance("a1", { region: "eu-central-1", zone: "eu-central-1a" }),
  instance("none"),
  instance("west", { region: "eu-west-1", zone: "eu-west-1a" }),
  instance("a2", { region: "eu-central-1", zone: "eu-central-1a" }),
];

function rulesOf(text: string): NearRules {
  const refused: string[] = [];
  const rules = readNearRules(text, (_name, detail) => void refused.push(detail));
  expect(refused).toEqual([]);
  return rules;
}

/** Ids in the order that they are answered in. */
function order(near: string, rules = "", location?: Location, instances: readonly Instance[] = INSTANCES): string {
  const place = createPlaces(rules === "" ? new Map() : rulesOf(rules)).of(near, location);
  const selected = select(instances, { ...NO_FILTERS, near }, place);
  return selected.map(({ id }) => id).join(" ");
}

const AS_THEY_ARE = "us b1 a1 none west a2";

describe("near a zone or region", () => {
  it("stands what is in the zone, then what is in its region, then the rest, each in their order", () => {
    expect(order("eu-central-1a")).toBe("a1 a2 b1 us none west");
    expect(order("EU-Central-1A")).toBe("a1 a2 b1 us none west");
    expect(order("eu-central-1")).toBe("b1 a1 a2 us none west");
    expect(order("ap-south-1")).toBe(AS_THEY_ARE);
  });

  it("a zone without instances has its region by the configuration alone", () => {
    expect(order("eu-central-1c")).toBe(AS_THEY_ARE);
    expect(order("eu-central-1c", "FRA=eu-central-1/eu-central-1c")).toBe("b1 a1 a2 us none west");
  });

  it("nothing is lost or doubled, whatever zones and regions there are, and the limit comes after", () => {
    const names = fc.option(fc.constantFrom("eu", "us", "eu-1", "fra"), { nil: undefined });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(names, names), { maxLength: 12 }),
        fc.constantFrom("eu", "eu-1", "auto"),
        fc.integer({ min: 1, max: 12 }),
        (drawn, near, limit) => {
          const all = drawn.map(([region, zone], index) =>
            instance(`i${index}`, { ...(region ? { region } : {}), ...(zone ? { zone } : {}) }),
          );
          const place = createPlaces(new Map()).of(near, FRANKFURT);
          const ordered = select(all, { ...NO_FILTERS, near }, place);
          expect(new Set(ordered)).toEqual(new Set(all));
          expect(ordered).toHaveLength(all.length);
          expect(select(all, { ...NO_FILTERS, near, limit }, place)).toEqual(ordered.slice(0, limit));
        },
      ),
    );
  });
});

describe("near=auto", () => {
  it.each<[string, string, Location | undefined, string]>([
    [
      "follows the rule for the data centre",
      "FRA=eu-west-1/eu-west-1a,DE=us-east-1",
      FRANKFURT,
      "west us b1 a1 none a2",
    ],
    ["or else for the country", "AMS=us-east-1,DE=eu-west-1,EU=us-east-1", FRANKFURT, "west us b1 a1 none a2"],
    ["or else for the continent", "US=us-east-1,EU=eu-west-1", FRANKFURT, "west us b1 a1 none a2"],
    ["takes a continent's code for the continent", "NA=us-east-1", { country: "NA", continent: "AF" }, AS_THEY_ARE],
    ["unless it says country", "country:NA=eu-west-1", { country: "NA", continent: "AF" }, "west us b1 a1 none a2"],
    ["changes nothing where no rule and no name fits", "US=us-east-1", FRANKFURT, AS_THEY_ARE],
    ["changes nothing where the platform does not tell", "EU=eu-west-1", undefined, AS_THEY_ARE],
  ])("%s", (_what, rules, location, expected) => {
    expect(order("auto", rules, location)).toBe(expected);
  });

  it("finds zones and regions that are called as the platform calls its own, the most specific first", () => {
    const named = ["EU", "de", "he", "fra"].map((region) => instance(region, { region }));
    expect(order("auto", "", FRANKFURT, named)).toBe("fra he de EU");
    expect(order("auto", "", FRANKFURT, [...named, instance("zone", { region: "EU", zone: "FRA" })])).toBe(
      "zone EU fra he de",
    );
    const zones = [instance("FRA", { zone: "FRA" }), instance("ruled", { zone: "eu-1a" })];
    expect(order("auto", "FRA=eu-1/eu-1a", FRANKFURT, zones)).toBe("ruled FRA");
  });
});

it.each([
  ["FRA", 1],
  ["FRA=", 1],
  ["FRA=eu,", 2],
  ["EU=eu-west-1,F=eu", 2],
  ["country:FRA=eu", 1],
  ["FRA=eu/_a", 1],
  ["DE=eu,DE=us", 2],
])("FINGERPOST_NEAR=%s is refused, and its entry %i is named without its value", (text, entry) => {
  const refused: string[] = [];
  expect(readNearRules(text, (name, detail) => void refused.push(`${name} ${detail}`)).size).toBe(0);
  expect(refused).toEqual([expect.stringMatching(new RegExp(`^FINGERPOST_NEAR entry ${entry} `)) as string]);
});

describe("a pick near a place", () => {
  const near = "eu-1";
  const place = createPlaces(new Map()).of(near, undefined);
  const local = (changed: Partial<Instance>) => instance("local", { region: "eu", zone: "eu-1", ...changed });
  const others = [instance("region", { region: "eu", zone: "eu-2" }), instance("far", { region: "us" })];

  it.each<[string, Instance, string]>([
    ["stays in the zone while anything there is healthy", local({}), "local"],
    ["also where that is only suspect", local({ status: "suspect" }), "local"],
    ["goes on to the region where the zone has nothing that takes traffic", local({ weight: 0 }), "region"],
    ["or nothing that is healthy", local({ status: "down" }), "region"],
  ])("%s", (_what, one, expected) => {
    for (const health of ["healthy-or-all", "all"] as const) {
      const candidates = candidatesOf([...others, one], { ...NO_FILTERS, near, health }, place);
      expect(candidates.map(({ id }) => id)).toEqual([expected]);
    }
  });

  it("takes the nearest there is when nothing is healthy anywhere, or nothing has a weight", () => {
    const all = [...others, local({})];
    const nearest = (changed: Partial<Instance>) =>
      candidatesOf(
        all.map((one) => ({ ...one, ...changed })),
        { ...NO_FILTERS, near },
        place,
      ).map(({ id }) => id);
    expect(nearest({ status: "draining" })).toEqual(["local"]);
    expect(nearest({ weight: 0 })).toEqual(["local"]);
    const idle = [...others.map((one) => ({ ...one, weight: 0 })), local({ status: "down" })];
    expect(candidatesOf(idle, { ...NO_FILTERS, near, health: "all" }, place).map(({ id }) => id)).toEqual(["region"]);
  });
});

it("Cloudflare tells where a request came in", () => {
  const request = Object.assign(new Request("http://resolver/"), { cf: FRANKFURT });
  const { location } = createCloudflarePlatform(request, { waitUntil: () => undefined });
  expect(order("auto", "FRA=eu-west-1", location)).toBe(order("eu-west-1"));
});

describe("over HTTP", () => {
  let fixture: Fixture;
  let location: Location | undefined;

  beforeEach(async () => {
    fixture = createFixture({
      near: rulesOf("FRA=eu-central-1/eu-central-1a,US=us-east-1"),
      platform: {
        background: () => undefined,
        get location() {
          return location;
        },
      },
    });
    fixture.publisher.services.set("web", INSTANCES);
    await fixture.publisher.fill();
  });

  async function first(path: string, from: Location | undefined): Promise<string | undefined> {
    location = from;
    return ((await (await fixture.get(path)).json()) as ServiceAnswer).instances[0]?.id;
  }

  it("one URL is answered by where it is asked, never by what was remembered for another place", async () => {
    for (let round = 0; round < 2; round++) {
      expect(await first("/v1/services/web?near=auto", FRANKFURT)).toBe("a1");
      expect(await first("/v1/services/web?near=auto", { country: "US" })).toBe("us");
      expect(await first("/v1/services/web?near=auto", undefined)).toBe("us");
      location = FRANKFURT;
      const pick = (await (await fixture.get("/v1/services/web/pick?near=auto")).json()) as PickAnswer;
      expect(pick.instance.zone).toBe("eu-central-1a");
    }
  });

  it("a tag from one place confirms nothing at another, and Vary says that the request does not tell", async () => {
    const ask = async (from: Location | undefined, headers = {}) => {
      location = from;
      return fixture.get("/v1/services/web?near=auto", headers);
    };
    const here = await ask(FRANKFURT);
    const etag = here.headers.get("etag") ?? "";
    expect(here.headers.get("vary")).toBe("*");
    expect(here.headers.get("cache-control")).toBe("private, no-cache");
    const unchanged = await ask(FRANKFURT, { "if-none-match": etag });
    expect([unchanged.status, unchanged.headers.get("vary")]).toEqual([304, "*"]);
    for (const tags of [`W/${etag}`, `"other", ${etag}`, `W/${etag},"other"`]) {
      expect((await ask(FRANKFURT, { "if-none-match": tags })).status).toBe(304);
    }
    expect((await ask({ country: "US" }, { "if-none-match": etag })).status).toBe(200);
    expect((await ask(undefined, { "if-none-match": etag })).status).toBe(200);
    expect((await fixture.get("/v1/services/web?near=us-east-1")).headers.get("vary")).toBeNull();
  });

  it("orders each service of a resolve, and what is watched", async () => {
    location = FRANKFURT;
    const resolved = (await (await fixture.get("/v1/resolve?service=web&near=auto")).json()) as ResolveAnswer;
    expect(resolved.services["web"]?.instances[0]?.id).toBe("a1");
    const polled = (await (await fixture.get("/v1/services/web/watch?wait=0&near=auto")).json()) as ServiceAnswer;
    expect(polled.instances[0]?.id).toBe("a1");
    const stream = await fixture.get("/v1/services/web/watch?near=auto");
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!/"id":"[^"]+"/.test(text)) text += (await reader?.read())?.value ?? "";
    await reader?.cancel();
    expect(/"id":"([^"]+)"/.exec(text)?.[1]).toBe("a1");
  });
});
