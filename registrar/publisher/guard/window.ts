import type { Clock } from "../../../kernel/clock.ts";

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

  function prune(service: string, ids: Map<string, number>): void {
    const oldestMs = clock.monotonic() - windowMs;
    for (const [id, atMs] of ids) if (atMs <= oldestMs) ids.delete(id);
    if (ids.size === 0) byService.delete(service);
  }

  return {
    add(service, id, agoMs = 0) {
      const ids = byService.get(service) ?? new Map<string, number>();
      byService.set(service, ids.set(id, clock.monotonic() - agoMs));
    },
    remove(service, id) {
      const ids = byService.get(service);
      ids?.delete(id);
      if (ids?.size === 0) byService.delete(service);
    },
    count() {
      let total = 0;
      for (const [service, ids] of byService) {
        prune(service, ids);
        total += ids.size;
      }
      return total;
    },
    of(service) {
      const ids = byService.get(service);
      if (ids) prune(service, ids);
      return ids?.keys() ?? [];
    },
    clear: () => byService.clear(),
  };
}
