import { createBoundedMap } from "../memory/bounded-map.ts";
import type { Caller } from "./caller.ts";

/** Namespaces whose scopes are kept at hand for one caller: as many as a resolver serves at most. */
const NAMESPACES_MAX = 100;

/** Services that a caller may see: a pattern for namespaces and one for services, in which `*` is any run of characters. */
export interface Scope {
  readonly namespace: string;
  readonly service: string;
}

export const SCOPE_RULE = "must be namespace/service of A-Z a-z 0-9 . _ - and *, where * is any run of characters";

/** Reads `namespace/service`; undefined when it is not of that form. */
export function parseScope(text: string): Scope | undefined {
  const [, namespace, service] = /^([A-Za-z0-9._*-]{1,128})\/([A-Za-z0-9._*-]{1,128})$/.exec(text) ?? [];
  return namespace === undefined || service === undefined ? undefined : { namespace, service };
}

/** Scopes of one key, or of one token: each costs a comparison where it is not exact. */
export const SCOPES_MAX = 100;

/** What the scopes say of one namespace. */
interface Grant {
  readonly exact: ReadonlySet<string>;
  readonly patterns: readonly Match[];
}

const NOTHING: Grant = { exact: new Set(), patterns: [] };

type Match = (name: string) => boolean;

/** A caller who may see what any of `scopes` covers, and nothing without one. */
export function scopedCaller(name: string, scopes: readonly Scope[]): Caller {
  // Once, and not for each namespace: a pattern may cover as many as are made up.
  const compiled = scopes.map(({ namespace, service }) => ({
    covers: compile(namespace),
    service,
    match: service.includes("*") ? compile(service) : undefined,
  }));
  const grants = createBoundedMap<string, Grant>({ entriesMax: NAMESPACES_MAX });

  function grantOf(namespace: string): Grant {
    const covering = compiled.filter(({ covers }) => covers(namespace));
    // Not kept: namespaces made up would fill the memory of each caller.
    if (covering.length === 0) return NOTHING;
    const grant = {
      exact: new Set(covering.flatMap(({ service, match }) => (match ? [] : service))),
      patterns: covering.flatMap(({ match }) => match ?? []),
    };
    grants.set(namespace, grant);
    return grant;
  }

  return {
    name,
    unrestricted: scopes.some(({ namespace, service }) => isAnything(namespace) && isAnything(service)),
    may(namespace, service) {
      const { exact, patterns } = grants.peek(namespace) ?? grantOf(namespace);
      return exact.has(service) || patterns.some((match) => match(service));
    },
    mayList: (namespace) => compiled.some(({ covers }) => covers(namespace)),
  };
}

/**
 * What a pattern matches, by one pass over the name: each run between two `*` is taken where it first occurs, and no
 * later place could match more. A regular expression would go back over the name for each `*`.
 */
function compile(pattern: string): Match {
  const [head = "", ...rest] = pattern.split("*");
  const tail = rest.pop();
  if (tail === undefined) return (name) => name === head;
  return (name) => {
    const end = name.length - tail.length;
    if (end < head.length || !name.startsWith(head) || !name.endsWith(tail)) return false;
    let from = head.length;
    for (const run of rest) {
      const at = name.indexOf(run, from);
      if (at === -1 || at + run.length > end) return false;
      from = at + run.length;
    }
    return true;
  };
}

function isAnything(pattern: string): boolean {
  return /^\*+$/.test(pattern);
}
