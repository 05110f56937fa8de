import { ResolveError } from "./errors.ts";

/** What the instances must match; all that is given must hold. */
export interface Filters {
  /** A range of semantic versions, such as `^1.4`. */
  readonly version?: string;
  /** All of these. */
  readonly tags?: readonly string[];
  readonly region?: string;
  readonly zone?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /**
   * `healthy`: only what is up. `healthy-or-all`, the default: what is up or suspected of being gone, else anything not
   * known to be down. `all`: everything.
   */
  readonly health?: "healthy" | "all" | "healthy-or-all";
  /**
   * A zone or region: what is there comes first, then its region, then the rest. `auto`: near to where the resolver was
   * asked, which is near to a function that runs at the same edge.
   */
  readonly near?: string;
  /** At most this many, counted after all other filters. */
  readonly limit?: number;
}

/** The contract's rule for names, which also keeps a name from being a path. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export function isName(value: string): boolean {
  return NAME.test(value);
}

const FILTERS: { readonly [Name in keyof Required<Filters>]: true } = {
  version: true,
  tags: true,
  region: true,
  zone: true,
  metadata: true,
  health: true,
  near: true,
  limit: true,
};

/** Whoever writes no types would ask for every instance with a filter that is misspelt. */
function checkFilters(filters: Filters): void {
  const unknown = Object.keys(filters).filter((name) => !Object.hasOwn(FILTERS, name));
  if (unknown.length > 0) {
    const known = Object.keys(FILTERS).join(", ");
    throw new ResolveError("invalid_argument", `There is no filter ${unknown.join(", ").slice(0, 128)}: use ${known}.`);
  }
  if (filters.tags !== undefined && !Array.isArray(filters.tags)) {
    throw new ResolveError("invalid_argument", "The filter tags must be an array.");
  }
}

/** Path and query of a lookup. Equal filters give equal text, whatever their order, so that it can stand for the lookup. */
export function lookupPath(namespace: string, service: string, filters: Filters): string {
  if (!isName(service)) {
    throw new ResolveError("invalid_argument", `"${service.slice(0, 128)}" is not the name of a service.`);
  }
  checkFilters(filters);
  const query = new URLSearchParams();
  const add = (name: string, value: string | number | undefined) => {
    if (value !== undefined) query.append(name, String(value));
  };
  add("version", filters.version);
  for (const tag of filters.tags ?? []) add("tag", tag);
  add("region", filters.region);
  add("zone", filters.zone);
  for (const [key, value] of Object.entries(filters.metadata ?? {})) add(`meta.${key}`, value);
  add("health", filters.health);
  add("near", filters.near);
  add("limit", filters.limit);
  const pairs = [...query].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  const search = [...new Set(pairs)].toSorted((a, b) => (a < b ? -1 : 1)).join("&");
  return `/v1/namespaces/${namespace}/services/${service}${search === "" ? "" : `?${search}`}`;
}
