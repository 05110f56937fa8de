import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../node/log.ts";
import type { NamespacePublisher } from "./namespace-publisher.ts";
import { TOMBSTONE_KEY_GRACE_MS, TOMBSTONE_MS } from "./snapshot-builder.ts";

/** Each costs a commit every interval, so this is a bound on what a mistake in etcd's keys can cost. */
export const NAMESPACES_MAX = 1000;
/** How long an empty namespace that is not configured is still published: until its last tombstone has had its time. */
const RETIRE_AFTER_MS = TOMBSTONE_MS + TOMBSTONE_KEY_GRACE_MS;

/** A namespace as long as it is published. */
export interface Followed {
  readonly publisher: NamespacePublisher;
  /** Aborted when it is published no more. */
  readonly retired: AbortController;
  /** Since when etcd has nothing in it, monotonic; undefined while it has. */
  emptySinceMs: number | undefined;
}

export interface NamespacesOptions {
  /** Published whether or not etcd has anything in them. */
  readonly configured: readonly string[];
  /** Those in which etcd has something now. */
  readonly inEtcd: () => Iterable<string>;
  readonly create: (namespace: string) => NamespacePublisher;
  readonly onFollowed: (followed: Followed) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** The namespaces that are published: those configured, and those that etcd has or lately had something in. */
export interface Namespaces {
  /** Takes a namespace up, if it is not; undefined when there is no place for one more. */
  follow(namespace: string): Followed | undefined;
  /** Gives up namespaces that have been empty for long enough, and takes up those that had no place. */
  turnOver(): void;
  all(): Iterable<Followed>;
  /**
   * Those first of which etcd cannot tell all: it has nothing in them, or something is held back. A leader's beat has no
   * place for every name, and its successor learns the others from etcd.
   */
  names(): readonly string[];
  entries(): Iterable<readonly [namespace: string, followed: Followed]>;
  /** How many etcd has that are not published. */
  leftOut(): number;
}

export function createNamespaces(options: NamespacesOptions): Namespaces {
  const { configured, inEtcd, create, onFollowed, clock, log } = options;
  const namespaces = new Map<string, Followed>();
  let toldOfTooMany = false;

  function follow(namespace: string): Followed | undefined {
    const known = namespaces.get(namespace);
    if (known) return known;
    if (namespaces.size >= NAMESPACES_MAX) {
      if (!toldOfTooMany) log.error({ namespace }, `Not publishing more than ${NAMESPACES_MAX} namespaces`);
      toldOfTooMany = true;
      return undefined;
    }
    const followed: Followed = {
      publisher: create(namespace),
      retired: new AbortController(),
      emptySinceMs: undefined,
    };
    namespaces.set(namespace, followed);
    onFollowed(followed);
    return followed;
  }

  const holds = ({ publisher }: Followed) => publisher.guard.size() > 0;

  /** Those etcd has something in, and those of which something is still served. */
  function* inUse(): Generator<string> {
    yield* inEtcd();
    for (const [namespace, followed] of namespaces) if (holds(followed)) yield namespace;
  }

  for (const namespace of configured) follow(namespace);
  return {
    follow,
    turnOver() {
      const nowMs = clock.monotonic();
      const used = new Set(inUse());
      for (const [namespace, followed] of namespaces) {
        if (used.has(namespace) || configured.includes(namespace)) {
          followed.emptySinceMs = undefined;
        } else if (nowMs - (followed.emptySinceMs ??= nowMs) >= RETIRE_AFTER_MS) {
          namespaces.delete(namespace);
          followed.retired.abort();
          log.info({ namespace }, "The namespace has been empty for long, and is published no more");
        }
      }
      toldOfTooMany &&= namespaces.size >= NAMESPACES_MAX;
      for (const namespace of used) follow(namespace);
    },
    all: () => namespaces.values(),
    names() {
      const known = new Set(inEtcd());
      const told: string[] = [];
      const rest: string[] = [];
      for (const [namespace, followed] of namespaces) {
        (holds(followed) || !known.has(namespace) ? told : rest).push(namespace);
      }
      return [...told, ...rest];
    },
    entries: () => namespaces.entries(),
    leftOut: () => [...inUse()].filter((namespace) => !namespaces.has(namespace)).length,
  };
}
