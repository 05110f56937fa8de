import {
  aName,
  anyText,
  duration,
  family,
  many,
  one,
  oneOf,
  versionRange,
  wholeNumber,
  type ParameterTable,
} from "./parameters.ts";
import { PARAMETERS_MAX, type QueryOf } from "./query.ts";
import { HEALTH_VALUES, NO_FILTERS, type Filters } from "../memory/selection.ts";

/** Instances in one answer. */
const LIMIT_MAX = 10_000;
const PAGE_LIMIT_MAX = 1000;
const PAGE_LIMIT_DEFAULT = 100;
const RESOLVE_SERVICES_MAX = 50;
/** What a long poll may wait: less than proxies on the way put up with. */
const WAIT_MS_MAX = 60_000;
export const WAIT_MS_DEFAULT = 30_000;

const FILTERS = {
  version: one(versionRange),
  tag: many(anyText, { min: 0, max: PARAMETERS_MAX }),
  region: one(aName),
  zone: one(aName),
  meta: family(anyText),
  health: one(oneOf(HEALTH_VALUES), NO_FILTERS.health),
  near: one(aName),
  limit: one(wholeNumber(1, LIMIT_MAX)),
} satisfies ParameterTable;

export interface Operation {
  /** After each of the PREFIXES. */
  readonly path: string;
  /** All that its query may have; the OpenAPI document is made from the same table. */
  readonly parameters: ParameterTable;
}

/** What can be asked of a namespace. Nothing is routed, and no parameter taken, that does not stand here. */
export const OPERATIONS = {
  service: { path: "/services/:service", parameters: FILTERS },
  pick: { path: "/services/:service/pick", parameters: { ...FILTERS, key: one(anyText) } },
  watch: {
    path: "/services/:service/watch",
    parameters: {
      ...FILTERS,
      revision: one(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
      wait: one(duration(WAIT_MS_MAX)),
    },
  },
  services: {
    path: "/services",
    parameters: { limit: one(wholeNumber(1, PAGE_LIMIT_MAX), PAGE_LIMIT_DEFAULT), cursor: one(aName) },
  },
  resolve: {
    path: "/resolve",
    parameters: { service: many(aName, { min: 1, max: RESOLVE_SERVICES_MAX }), ...FILTERS },
  },
} satisfies Record<string, Operation>;

export type OperationName = keyof typeof OPERATIONS;

export const OPERATION_NAMES = Object.keys(OPERATIONS) as readonly OperationName[];

/** Of the default namespace, and of one that is named. */
export const PREFIXES = ["/v1", "/v1/namespaces/:namespace"] as const;

export function filtersOf({ tag, meta, version, region, zone, health, near, limit }: QueryOf<typeof FILTERS>): Filters {
  return {
    ...(version === undefined ? {} : { version }),
    tags: tag,
    ...(region === undefined ? {} : { region }),
    ...(zone === undefined ? {} : { zone }),
    metadata: meta,
    health,
    ...(near === undefined ? {} : { near }),
    ...(limit === undefined ? {} : { limit }),
  };
}
