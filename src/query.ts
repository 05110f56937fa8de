import Range from "semver/classes/range.js";
import { isName, NAME_RULE } from "../contract/names.ts";
import { FingerpostError, type Violation } from "../kernel/errors.ts";
import { HEALTH_VALUES, NO_FILTERS, type Filters, type Health } from "./selection.ts";

/** Bounds of one query: its parameters, and the characters of a value. A range takes time in its length. */
const PARAMETERS_MAX = 64;
const VALUE_LENGTH_MAX = 2048;
const RANGE_LENGTH_MAX = 128;
const RANGE_RULE = "must be a semver range such as ^1.4 or >=2 <3";
const META_PREFIX = "meta.";
/** Instances in one answer. */
const LIMIT_MAX = 10_000;
export const PAGE_LIMIT_MAX = 1000;
export const PAGE_LIMIT_DEFAULT = 100;
export const RESOLVE_SERVICES_MAX = 50;

/** A request's query. Everything in it must be asked for, and `done` throws `invalid_argument` with all that is wrong. */
export interface Query {
  /** The value of a parameter that is given once at most; `rule` tells what is wrong with it, if anything. */
  one(name: string, rule: (value: string) => string | undefined): string | undefined;
  all(name: string, rule: (value: string) => string | undefined): readonly string[];
  withPrefix(prefix: string): readonly (readonly [name: string, value: string])[];
  refuse(parameter: string, detail: string): void;
  done(): void;
}

export function parseQuery(url: string): Query {
  const parameters = new Map<string, string[]>();
  const violations: Violation[] = [];
  const taken = new Set<string>();
  const search = new URL(url).searchParams;
  if (search.size > PARAMETERS_MAX) {
    throw new FingerpostError("invalid_argument", `The query has more than ${PARAMETERS_MAX} parameters.`);
  }
  for (const [name, value] of search) {
    if (value.length > VALUE_LENGTH_MAX) refuse(name, `must be at most ${VALUE_LENGTH_MAX} characters`);
    parameters.set(name, [...(parameters.get(name) ?? []), value]);
  }

  function refuse(parameter: string, detail: string): void {
    violations.push({ parameter, detail });
  }

  function all(name: string, rule: (value: string) => string | undefined): readonly string[] {
    taken.add(name);
    const values = parameters.get(name) ?? [];
    for (const value of values) {
      const detail = rule(value);
      if (detail !== undefined) refuse(name, detail);
    }
    return values;
  }

  return {
    refuse,
    all,
    one(name, rule) {
      const values = all(name, rule);
      if (values.length > 1) refuse(name, "must be given once");
      return values[0];
    },
    withPrefix(prefix) {
      const found = [...parameters].filter(([name]) => name.startsWith(prefix));
      for (const [name, values] of found) {
        taken.add(name);
        if (values.length > 1) refuse(name, "must be given once");
      }
      return found.map(([name, values]) => [name.slice(prefix.length), values[0] ?? ""]);
    },
    done() {
      for (const name of parameters.keys()) {
        if (!taken.has(name)) refuse(name.slice(0, VALUE_LENGTH_MAX), "is not a known parameter");
      }
      if (violations.length > 0) {
        throw new FingerpostError("invalid_argument", "The query is not valid.", { violations });
      }
    },
  };
}

/** Takes the filters out of a query. */
export function takeFilters(query: Query): Filters {
  const range = query.one("version", rangeRule);
  const region = query.one("region", nameRule);
  const zone = query.one("zone", nameRule);
  const health = query.one("health", healthRule);
  const limit = query.one("limit", wholeRule(LIMIT_MAX));
  const version = range === undefined || rangeRule(range) !== undefined ? undefined : new Range(range);
  return {
    ...(version === undefined ? {} : { version }),
    tags: query.all("tag", anything),
    ...(region === undefined ? {} : { region }),
    ...(zone === undefined ? {} : { zone }),
    metadata: query.withPrefix(META_PREFIX),
    health: (health as Health | undefined) ?? NO_FILTERS.health,
    ...(limit === undefined ? {} : { limit: Number(limit) }),
  };
}

/** The name of a service or namespace in a path. Throws `invalid_argument`. */
export function pathName(parameter: string, value: string): string {
  if (isName(value)) return value;
  throw new FingerpostError("invalid_argument", `"${value.slice(0, 128)}" is not a name.`, {
    violations: [{ parameter, detail: NAME_RULE }],
  });
}

export const anything = (): undefined => undefined;

export function nameRule(value: string): string | undefined {
  return isName(value) ? undefined : NAME_RULE;
}

export function wholeRule(max: number) {
  return (value: string): string | undefined =>
    /^[1-9]\d{0,8}$/.test(value) && Number(value) <= max ? undefined : `must be a whole number of 1 to ${max}`;
}

function healthRule(value: string): string | undefined {
  return (HEALTH_VALUES as readonly string[]).includes(value) ? undefined : `must be ${HEALTH_VALUES.join(", ")}`;
}

function rangeRule(value: string): string | undefined {
  if (value.length > RANGE_LENGTH_MAX) return `must be at most ${RANGE_LENGTH_MAX} characters`;
  // To semver a blank range is any version; here it is a variable that was not set, and * says what is meant.
  if (value.trim() === "") return RANGE_RULE;
  try {
    return new Range(value).range === undefined ? RANGE_RULE : undefined;
  } catch {
    return RANGE_RULE;
  }
}
