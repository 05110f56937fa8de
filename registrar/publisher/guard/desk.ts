import { within, DeadlineExceeded } from "../../../kernel/deadline.ts";
import { FingerpostError } from "../../../kernel/errors.ts";
import type { Clock } from "../../../kernel/clock.ts";
import type { CatalogState } from "../catalog-state.ts";
import type { Guard, GuardBudget } from "./guard.ts";
import { standingOf } from "./standing.ts";

/** How long an operator waits for what was released to be gone from Redis. */
const PUBLISHED_WAIT_MS = 5000;

/** What to look at: all, one namespace, or one service of it. */
export interface GuardQuery {
  readonly namespace?: string | undefined;
  readonly service?: string | undefined;
}

export interface HoldShown {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
  readonly cause: string;
  /** RFC 3339. */
  readonly since: string;
  /** RFC 3339: when it ends at the latest. */
  readonly until: string;
  readonly agent?: string;
  /** Why it still stands, a sentence each. */
  readonly reasons: readonly string[];
}

export interface GuardShown {
  /** In all namespaces. */
  readonly held: number;
  /** Those in which something is held, or has departed unplanned within the window. */
  readonly namespaces: readonly (GuardBudget & { readonly namespace: string; readonly held: number })[];
  /** Ordered by namespace, service and id. */
  readonly holds: readonly HoldShown[];
  /** Pass it as `cursor` for the next page; absent on the last one. */
  readonly next?: string;
}

/** Where an operator looks at what is held back, and lets it go. */
export interface GuardDesk {
  /** How many instances this process holds back; none while another leads. */
  held(): number;
  /** Throws `conflict` while another registrar leads. */
  show(query: GuardQuery & { readonly cursor?: string | undefined; readonly limit: number }): GuardShown;
  /**
   * Resolves once what was held is gone from Redis. Rejects with `conflict` while another registrar leads, with
   * `not_found` when nothing is held of a service that was named, and with `unavailable` when Redis does not take it.
   */
  release(query: GuardQuery): Promise<void>;
}

/** A namespace as the desk sees it. */
interface Guarded {
  readonly guard: Guard;
  readonly changed: (services: Iterable<string>) => void;
  readonly flushed: () => Promise<void>;
}

export interface GuardDeskOptions {
  readonly leads: () => boolean;
  /** By the name it leads under; undefined when nobody does. */
  readonly leader: () => string | undefined;
  readonly namespaces: () => Iterable<readonly [namespace: string, guarded: Guarded]>;
  readonly catalog: Pick<CatalogState, "sentinels">;
  readonly clock: Clock;
}

export function createGuardDesk({ leads, leader, namespaces, catalog, clock }: GuardDeskOptions): GuardDesk {
  function requireLead(): void {
    if (leads()) return;
    const name = leader();
    const advice = name === undefined ? "No registrar leads at the moment; try again." : `Ask the one named "${name}".`;
    throw new FingerpostError("conflict", `Only the registrar that leads holds instances back. ${advice}`);
  }

  function guarded({ namespace }: GuardQuery): (readonly [string, Guarded])[] {
    const all = [...namespaces()].filter(([name]) => namespace === undefined || name === namespace);
    return all.toSorted(([a], [b]) => (a < b ? -1 : 1));
  }

  function* holdsOf(query: GuardQuery): Generator<readonly [cursor: string, show: () => HoldShown]> {
    for (const [namespace, { guard }] of guarded(query)) {
      for (const service of [...guard.services()].toSorted()) {
        if (query.service !== undefined && service !== query.service) continue;
        const isLast = guard.isLast(service);
        for (const [id, held] of [...guard.held(service)].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
          const { cause, since, until, agent } = held.hold;
          const agentIsThere = agent !== undefined && catalog.sentinels.presenceOf(agent) !== undefined;
          yield [
            `${namespace}/${service}/${id}`,
            () => ({
              namespace,
              service,
              id,
              cause,
              since: new Date(since).toISOString(),
              until: new Date(until).toISOString(),
              ...(agent === undefined ? {} : { agent }),
              reasons: standingOf(held, isLast, agentIsThere),
            }),
          ];
        }
      }
    }
  }

  const held = () => [...namespaces()].reduce((sum, [, { guard }]) => sum + guard.size(), 0);

  return {
    held,
    show({ cursor, limit, ...query }) {
      requireLead();
      const shown = guarded(query).map(([namespace, { guard }]) => ({
        namespace,
        held: guard.size(),
        ...guard.budget(),
      }));
      const holds: HoldShown[] = [];
      let last = "";
      let next: string | undefined;
      for (const [position, show] of holdsOf(query)) {
        if (cursor !== undefined && !isAfter(position, cursor)) continue;
        if (holds.length === limit) {
          next = last;
          break;
        }
        holds.push(show());
        last = position;
      }
      return {
        held: held(),
        namespaces: shown.filter((one) => one.held > 0 || one.departed > 0),
        holds,
        ...(next === undefined ? {} : { next }),
      };
    },
    async release(query) {
      requireLead();
      const { namespace, service } = query;
      const publishing: Promise<void>[] = [];
      for (const [, { guard, changed, flushed }] of guarded(query)) {
        const released = guard.release(service);
        if (released.size === 0) continue;
        changed(released);
        publishing.push(flushed());
      }
      if (service !== undefined && publishing.length === 0) {
        const where = namespace === undefined ? "" : ` in the namespace "${namespace}"`;
        throw new FingerpostError("not_found", `Nothing is held of the service "${service}"${where}.`);
      }
      try {
        await within(clock, PUBLISHED_WAIT_MS, "The commit", Promise.all(publishing));
      } catch (cause) {
        if (!(cause instanceof DeadlineExceeded)) throw cause;
        const message = "It is released, and is gone from the edge once Redis takes it; Redis does not answer now.";
        throw new FingerpostError("unavailable", message, { retryAfterSeconds: 5, cause });
      }
    },
  };
}

/** By namespace, then service, then id: names have characters that sort before the slash between them. */
function isAfter(a: string, b: string): boolean {
  const [as, bs] = [a.split("/"), b.split("/")];
  for (const [index, part] of as.entries()) {
    const other = bs[index] ?? "";
    if (part !== other) return part > other;
  }
  return false;
}
