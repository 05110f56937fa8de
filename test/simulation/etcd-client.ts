import {
  EtcdError,
  type Etcd,
  type RenewalHandlers,
  type WatchEvent,
  type WatchHandlers,
} from "../../registrar/etcd/port.ts";
import type { EtcdModel } from "./etcd-model.ts";
import type { Link } from "./link.ts";
import type { SimulatedProcess } from "./process.ts";
import type { Timeline } from "./timeline.ts";

/** As of a client of the product. */
const TIMEOUT_MS = 1500;
/** So few that the lists of a small world have several, between which something may happen. */
const PAGE_ENTRIES = 6;
const STREAM_LATENCY_MS = 2;
/** After which a connection that nothing comes through is given up. */
const PINGS_MS = 5000;

export interface EtcdClient extends Etcd {
  /** Events reach this process so much later, in order. */
  watchLagMs: number;
  /** Those watches end, as with a connection that is reset. */
  breakStreams(): void;
  /** Since when, in milliseconds, the first list was whole; undefined before. */
  watchedSinceMs(): number | undefined;
  /** Watches and renewal streams that are open. */
  streams(): number;
}

export interface EtcdClientOptions {
  readonly model: EtcdModel;
  readonly timeline: Timeline;
  readonly process: SimulatedProcess;
  readonly link: Link;
}

/** What one process has of the etcd of its world: over a link that has its weather. */
export function createEtcdClient({ model, timeline, process, link }: EtcdClientOptions): EtcdClient {
  const open = new Set<(error: EtcdError) => void>();
  let watchedSinceMs: number | undefined;

  function call<T>(what: string, effect: () => T): Promise<T> {
    const timedOut = () => new EtcdError("unavailable", `etcd ${what}: no answer in time`);
    return link.call(
      () => {
        if (!model.up) throw new EtcdError("unavailable", `etcd ${what}: no leader`);
        return effect();
      },
      TIMEOUT_MS,
      timedOut,
    );
  }

  /** Hands things to the process one after the other, each `delayMs` from now at the earliest. */
  function createPipe(): (delayMs: number, run: () => void) => void {
    let lastMs = 0;
    return (delayMs, run) => {
      lastMs = Math.max(lastMs, timeline.nowMs() + delayMs);
      timeline.at(lastMs, () => process.deliver(run));
    };
  }

  function watch(startRevision: number, handlers: WatchHandlers): () => void {
    watchedSinceMs ??= timeline.nowMs();
    const pipe = createPipe();
    let isOpen = true;
    let stopAtServer: (() => void) | undefined;

    function stop(): void {
      isOpen = false;
      open.delete(end);
      stopAtServer?.();
    }
    function compactedTo(compactRevision: number): void {
      stop();
      handlers.onEnd({ compactRevision });
    }
    function end(error: EtcdError): void {
      if (!isOpen) return;
      stop();
      handlers.onEnd({ error });
    }
    const lagged = (run: () => void) => {
      if (!link.cut) {
        pipe(STREAM_LATENCY_MS + client.watchLagMs, () => isOpen && run());
        return;
      }
      // What is cut off is not told, nor what follows it; pings that stay away tell so much later.
      stopAtServer?.();
      const lost = () => end(new EtcdError("unavailable", "etcd Watch: no answer to pings"));
      timeline.at(timeline.nowMs() + PINGS_MS, () => process.deliver(lost));
    };
    open.add(end);
    const begin = async () => {
      try {
        await call("Watch", () => {
          if (!isOpen || stopAtServer !== undefined) return;
          stopAtServer = () => undefined;
          lagged(() => handlers.onCreated());
          const begun = model.watch(startRevision, {
            onRevision: (events: readonly WatchEvent[]) => lagged(() => handlers.onEvents(events)),
            onBroken: () => lagged(() => end(new EtcdError("unavailable", "etcd Watch: the connection was closed"))),
          });
          if ("stop" in begun) stopAtServer = begun.stop;
          else lagged(() => compactedTo(begun.compacted));
        });
      } catch (error) {
        end(error as EtcdError);
      }
    };
    void begin();
    return stop;
  }

  const client: EtcdClient = {
    watchLagMs: 0,
    breakStreams() {
      for (const end of open) process.deliver(() => end(new EtcdError("unavailable", "etcd: connection reset")));
    },
    watchedSinceMs: () => watchedSinceMs,
    streams: () => open.size,
    get: (key, atRevision) => call("Range", () => model.get(key, atRevision)),
    async *list(prefix, signal, from = prefix) {
      let key = from;
      let revision = 0;
      while (!signal.aborted) {
        const at = revision;
        const begin = key;
        const page = await call("Range", () => model.page(prefix, begin, PAGE_ENTRIES, at));
        if (revision === 0) revision = page.revision;
        yield { entries: page.entries, revision };
        const last = page.entries.at(-1);
        if (!page.more || last === undefined) return;
        key = `${last.key}\0`;
      }
    },
    count: (prefix, revision) => call("Range", () => model.count(prefix, revision)),
    transact: (compares, success, failure) => call("Txn", () => model.transact(compares, success, failure)),
    grantLease: (ttlSeconds) => call("LeaseGrant", () => ({ lease: model.grant(ttlSeconds), ttlSeconds })),
    revokeLease: (lease) => call("LeaseRevoke", () => model.endLease(lease)),
    describeLease: (lease) => call("LeaseTimeToLive", () => model.describe(lease)),
    watch: (_prefix, startRevision, handlers) => watch(startRevision, handlers),
    openRenewals(handlers: RenewalHandlers) {
      const end = (error: EtcdError) => {
        if (open.delete(end)) handlers.onEnd(error);
      };
      open.add(end);
      return {
        renew(lease) {
          const renewed = async () => {
            try {
              const ttlSeconds = await call("LeaseKeepAlive", () => model.renew(lease));
              if (open.has(end)) handlers.onRenewal({ lease, ttlSeconds });
            } catch (error) {
              end(error as EtcdError);
            }
          };
          void renewed();
        },
        close: () => void open.delete(end),
      };
    },
    close() {
      open.clear();
      return Promise.resolve();
    },
  };
  return client;
}
