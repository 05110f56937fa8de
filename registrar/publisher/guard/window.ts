import type { Clock } from "../../../kernel/clock.ts";

/**
 * A thousand leases that end together ask as often how many have departed; to look through all of those each time would
 * take seconds. So what is counted may be a hundredth of the window too old.
 */
const PRUNES_A_WINDOW = 100;

export interface DepartureWindowOptions {
  readonly windowMs: number;
  readonly clock: Pick<Clock, "monotonic">;
}

/**
 * The instances that departed unplanned within the window and have not come back. One that goes and comes again and
 * again counts once. At most one entry an instance.
 */
export interface DepartureWindow {
  /** `agoMs`: when a former leader held it, before this one began. */
  add(service: string, id: string, agoMs?: number): void;
  /** It is there again. */
  remove(service: string, id: string): void;
  count(): number;
  /** Of one service. */
  of(service: string): Iterable<string>;
  clear(): void;
}

export function createDepartureWindow({ windowMs, clock }: DepartureWindowOptions): DepartureWindow {
  const byService = new Map<string, Map<string, number>>();
  /** In all services. */
  let total = 0;
  /** When everything was last looked through. */
  let prunedAtMs = -Infinity;

  function prune(service: string, ids: Map<string, number>): void {
    const endedMs = clock.monotonic() - windowMs;
    for (const [id, atMs] of ids) if (atMs <= endedMs) forget(service, ids, id);
  }

  function forget(service: string, ids: Map<string, number>, id: string): void {
    if (!ids.delete(id)) return;
    total--;
    if (ids.size === 0) byService.delete(service);
  }

  return {
    add(service, id, agoMs = 0) {
      const ids = byService.get(service) ?? new Map<string, number>();
      if (!ids.has(id)) total++;
      byService.set(service, ids.set(id, clock.monotonic() - agoMs));
    },
    remove(service, id) {
      const ids = byService.get(service);
      if (ids) forget(service, ids, id);
    },
    count() {
      const nowMs = clock.monotonic();
      if (nowMs - prunedAtMs >= windowMs / PRUNES_A_WINDOW) {
        prunedAtMs = nowMs;
        for (const [service, ids] of byService) prune(service, ids);
      }
      return total;
    },
    of(service) {
      const ids = byService.get(service);
      if (ids) prune(service, ids);
      return ids?.keys() ?? [];
    },
    clear() {
      byService.clear();
      total = 0;
    },
  };
}
