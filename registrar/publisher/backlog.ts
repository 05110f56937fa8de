/** A snapshot above this is written at most once in LARGE_INTERVAL_MS: every resolver that holds it reads it again. */
export const LARGE_BYTES = 256 * 1024;
export const LARGE_INTERVAL_MS = 1000;
/** How long a snapshot that Redis would not take is left alone: each try sends all of its megabytes again. */
export const WITHHELD_RETRY_MS = 60_000;

/** Services that `trouble` names; the log names each. */
const NAMED_MAX = 5;

/** The services that are to be published: one entry each, however often they change. */
export interface Backlog {
  /** Told at `nowMs` (monotonic) that they differ from what is published. */
  add(services: Iterable<string>, nowMs: number): void;
  /** Those that may be published now, since when they wait. */
  due(nowMs: number): ReadonlyMap<string, number>;
  /** When the next of the others may be; Infinity when there is none. */
  nextAtMs(): number;
  /** It is serialised as it is now. */
  take(service: string): void;
  /** Its snapshot of `bytes` is in Redis. */
  written(service: string, bytes: number, nowMs: number): void;
  /** Redis would not take its snapshot. It stays, for a later try. */
  withhold(service: string, nowMs: number): void;
  /** What Redis would not take at the last try, as a sentence; undefined when there is nothing. */
  trouble(): string | undefined;
  /** Something waits for no more than its next turn. */
  isWaiting(): boolean;
  clear(): void;
}

type Pause = { readonly type: "large" | "withheld"; readonly untilMs: number };

export function createBacklog(): Backlog {
  /** Since when each waits. */
  const waiting = new Map<string, number>();
  /** Of the large ones and the withheld ones only. */
  const pauses = new Map<string, Pause>();

  return {
    add(services, nowMs) {
      for (const service of services) if (!waiting.has(service)) waiting.set(service, nowMs);
    },
    due(nowMs) {
      if (pauses.size === 0) return new Map(waiting);
      return new Map([...waiting].filter(([service]) => (pauses.get(service)?.untilMs ?? 0) <= nowMs));
    },
    nextAtMs() {
      let nextAtMs = Infinity;
      for (const [service, { untilMs }] of pauses) if (waiting.has(service)) nextAtMs = Math.min(nextAtMs, untilMs);
      return nextAtMs;
    },
    take: (service) => void waiting.delete(service),
    written(service, bytes, nowMs) {
      if (bytes > LARGE_BYTES) pauses.set(service, { type: "large", untilMs: nowMs + LARGE_INTERVAL_MS });
      else pauses.delete(service);
    },
    withhold(service, nowMs) {
      waiting.set(service, nowMs);
      pauses.set(service, { type: "withheld", untilMs: nowMs + WITHHELD_RETRY_MS });
    },
    trouble() {
      const names = [...pauses].filter(([, { type }]) => type === "withheld").map(([service]) => service);
      const others = names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : "";
      if (names.length === 0) return undefined;
      return `Redis does not take the snapshots of ${names.slice(0, NAMED_MAX).join(", ")}${others}, which are left out.`;
    },
    isWaiting: () => [...waiting.keys()].some((service) => pauses.get(service)?.type !== "withheld"),
    clear() {
      waiting.clear();
      pauses.clear();
    },
  };
}
