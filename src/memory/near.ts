import { isName } from "../../contract/names.ts";
import type { Instance } from "../../contract/snapshot.ts";
import type { Location } from "../platform.ts";

/** What `near` asks for besides a zone or a region: what is near to where the request came in. */
export const NEAR_AUTO = "auto";

/** Rules that are kept: more than there are data centres, or countries. */
const RULES_MAX = 1000;
const CONTINENTS: readonly string[] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];

/** Zones and regions to look for, the nearest first, in lower case. */
export interface Place {
  readonly zones: readonly string[];
  readonly regions: readonly string[];
  /** The same for the same place: it tells answers apart. Of the characters of names, with plus signs and a slash: an entity tag holds it. */
  readonly key: string;
}

export interface NearTarget {
  readonly region: string;
  readonly zone?: string;
}

/** By `colo:FRA`, `country:DE` or `continent:EU`: the region, and perhaps the zone, that is near to it. */
export type NearRules = ReadonlyMap<string, NearTarget>;

export interface Places {
  /** Undefined when it cannot be told: then nothing is nearer than anything else. */
  of(near: string | undefined, location: Location | undefined): Place | undefined;
}

/** Reads FINGERPOST_NEAR; whatever is wrong is told to `refuse`, and left out. */
export function readNearRules(text: string | undefined, refuse: (name: string, detail: string) => void): NearRules {
  const rules = text === undefined ? new Map<string, NearTarget>() : parseNearRules(text);
  if (!("wrong" in rules)) return rules;
  refuse("FINGERPOST_NEAR", rules.wrong);
  return new Map();
}

/**
 * Reads rules such as `FRA=eu-central-1/eu-central-1a,DE=eu-central-1,EU=eu-west-1`. Three letters are a data centre,
 * two a country, unless they are a continent's: `AF`, `AS`, `NA` and `SA` are both, and `country:SA` says which is meant.
 * Tells what is wrong with the first entry that is.
 */
function parseNearRules(text: string): NearRules | { readonly wrong: string } {
  const rules = new Map<string, NearTarget>();
  const entries = text.split(",");
  if (entries.length > RULES_MAX) return { wrong: `must be at most ${RULES_MAX} entries` };
  for (const [index, entry] of entries.entries()) {
    const match = /^\s*(country:)?([A-Z]{2,3})\s*=\s*([^/\s]+)(?:\/([^/\s]+))?\s*$/i.exec(entry);
    const [, country, code = "", region = "", zone] = match ?? [];
    const kind =
      code.length === 3 ? "colo" : country || !CONTINENTS.includes(code.toUpperCase()) ? "country" : "continent";
    if (!isName(region) || (zone !== undefined && !isName(zone)) || (kind === "colo" && country)) {
      return {
        wrong: `entry ${index + 1} must be code=region or code=region/zone, such as FRA=eu-central-1 or DE=eu-1/a`,
      };
    }
    const key = `${kind}:${code.toUpperCase()}`;
    if (rules.has(key)) return { wrong: `entry ${index + 1} names a code that an earlier one has named` };
    rules.set(key, { region, ...(zone === undefined ? {} : { zone }) });
  }
  return rules;
}

export function createPlaces(rules: NearRules): Places {
  const regionByZone = new Map<string, string>();
  for (const { region, zone } of rules.values()) if (zone !== undefined) regionByZone.set(zone.toLowerCase(), region);

  /** The most specific rule decides; what is called like the location's own codes is near without any. */
  function ofLocation({ colo, country, continent, region, regionCode }: Location): Place | undefined {
    const rule = [`colo:${colo}`, `country:${country}`, `continent:${continent}`]
      .map((key) => rules.get(key))
      .find((found) => found !== undefined);
    return placeOf([rule?.zone, colo], [rule?.region, colo, regionCode, region, country, continent]);
  }

  return {
    of(near, location) {
      if (near === undefined) return undefined;
      if (near === NEAR_AUTO) return location && ofLocation(location);
      return placeOf([near], [near, regionByZone.get(near.toLowerCase())]);
    },
  };
}

function placeOf(zones: readonly (string | undefined)[], regions: readonly (string | undefined)[]): Place | undefined {
  const place = { zones: names(zones), regions: names(regions) };
  if (place.zones.length === 0 && place.regions.length === 0) return undefined;
  return { ...place, key: `${place.zones.join("+")}/${place.regions.join("+")}` };
}

/** What cannot be a zone's or region's name is near to nothing. */
function names(given: readonly (string | undefined)[]): readonly string[] {
  return [...new Set(given.flatMap((name) => (name !== undefined && isName(name) ? [name.toLowerCase()] : [])))];
}

/**
 * The instances, the nearest first: those of the zones, then those of the regions, then the rest, each in their order.
 * An instance of the zones, of whatever service state, tells the region of its zone: `all` are looked at for that.
 */
export function groupsByDistance(
  instances: readonly Instance[],
  all: readonly Instance[],
  { zones, regions }: Place,
): readonly (readonly Instance[])[] {
  const zoneOf = (instance: Instance) => zones.indexOf(instance.zone?.toLowerCase() ?? "");
  const own = all.flatMap((one) => (one.region !== undefined && zoneOf(one) !== -1 ? [one.region.toLowerCase()] : []));
  const order = [...new Set([...own, ...regions])];
  const groups: Instance[][] = Array.from({ length: zones.length + order.length + 1 }, () => []);
  for (const instance of instances) {
    const zone = zoneOf(instance);
    const region = order.indexOf(instance.region?.toLowerCase() ?? "");
    const distance = zone !== -1 ? zone : region !== -1 ? zones.length + region : groups.length - 1;
    groups[distance]?.push(instance);
  }
  return groups.filter((group) => group.length > 0);
}
