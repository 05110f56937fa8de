import {
  AGENTS_PREFIX,
  CLUSTER_KEY,
  ELECTION_PREFIX,
  ETCD_PREFIX,
  parseNamespace,
  PUBLISHER_KEY,
} from "../../../contract/etcd-keys.ts";
import { prefixEnd } from "../range.ts";

/** What a registrar does, and so what its etcd user may do. */
export type RegistrarRole = "both" | "agent" | "publisher";

/** What an etcd role grants. WRITE alone is of no use to us: it fails every compare. */
export interface Right {
  readonly permission: "read" | "readwrite" | "write";
  readonly key: string;
  /** The end of the range, not included; undefined for the one key. */
  readonly end: string | undefined;
}

/**
 * The least that a registrar of this role needs. `all` is every namespace there can be, and still none of our own keys:
 * their names begin with `_`, which stands between the capital and the small letters.
 */
export function rightsOf(role: RegistrarRole, namespaces: readonly string[] | "all"): readonly Right[] {
  const agent = [...namespaceRights(namespaces), below(AGENTS_PREFIX)];
  const publisher = [
    { ...below(ETCD_PREFIX), permission: "read" } as const,
    below(ELECTION_PREFIX),
    only(PUBLISHER_KEY),
    only(CLUSTER_KEY),
  ];
  if (role === "agent") return agent;
  if (role === "publisher") return publisher;
  return [...agent, ...publisher];
}

/** The right that a call for `key` lacks when etcd denies it, in words: `READWRITE on /fingerpost/default/`. */
export function rightNeeded(key: string): string {
  if (key === ETCD_PREFIX) return `READ on ${ETCD_PREFIX}`;
  const namespace = parseNamespace(key);
  const own = [AGENTS_PREFIX, ELECTION_PREFIX].find((prefix) => key.startsWith(prefix));
  return `READWRITE on ${own ?? (namespace === undefined ? key : `${ETCD_PREFIX}${namespace}/`)}`;
}

export function sameRight(a: Right, b: Right): boolean {
  return a.permission === b.permission && a.key === b.key && a.end === b.end;
}

/** As etcd's own documentation writes a right. */
export function rightInWords({ permission, key, end }: Right): string {
  const name = permission.toUpperCase();
  if (end === undefined) return `${name} on the key ${key}`;
  return end === prefixEnd(key).toString() ? `${name} on ${key}` : `${name} from ${key} to ${end}`;
}

function namespaceRights(namespaces: readonly string[] | "all"): readonly Right[] {
  if (namespaces !== "all") return [...new Set(namespaces)].map((namespace) => below(`${ETCD_PREFIX}${namespace}/`));
  return [
    { permission: "readwrite", key: `${ETCD_PREFIX}0`, end: `${ETCD_PREFIX}_` },
    { permission: "readwrite", key: `${ETCD_PREFIX}a`, end: `${ETCD_PREFIX}{` },
  ];
}

function below(prefix: string): Right {
  return { permission: "readwrite", key: prefix, end: prefixEnd(prefix).toString() };
}

function only(key: string): Right {
  return { permission: "readwrite", key, end: undefined };
}
