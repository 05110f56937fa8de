import { decodeCatalog } from "../../contract/catalog.ts";
import { decodeHead, type Head } from "../../contract/head.ts";
import { catalogKey, headKey, serviceKey, serviceOfKey } from "../../contract/redis-keys.ts";
import { decodeSnapshot } from "../../contract/snapshot.ts";
import type { Version } from "../../contract/version.ts";
import type { RedisModel, Written } from "./redis-model.ts";
import type { Truth } from "./truth.ts";
import type { Guarantee } from "./violation.ts";

export const NAMESPACE = "default";
const HEAD = headKey(NAMESPACE);

/** Follows what is written into the master, and holds it against what may be. */
export interface Ledger {
  wrote(written: Written): void;
  /** Redis has lost something: what is there now is where it goes on from. */
  lost(): void;
}

export interface LedgerOptions {
  readonly redis: () => RedisModel;
  readonly truth: Truth;
  /** The term that a publisher has won; undefined where it has won none. */
  readonly termOf: (publisher: string) => number | undefined;
  /** Since when, in milliseconds, a publisher has followed etcd without having been restarted. */
  readonly followsSinceMs: (publisher: string) => number;
  readonly report: (guarantee: Guarantee, text: string) => void;
}

/** One publisher in one term. `hasAll`: it has compared all that was there, and has published it. */
interface Reign {
  readonly publisher: string;
  readonly term: number | undefined;
  hasAll: boolean;
}

export function createLedger({ redis, truth, termOf, followsSinceMs, report }: LedgerOptions): Ledger {
  let reign: Reign | undefined;
  /** By epoch, which process has claimed it. */
  const claimants = new Map<number, string>();

  function lost(): void {
    // What it was about to compare is not there any more.
    if (reign && !reign.hasAll) for (const { service, id } of truth.owed()) truth.excuse(service, id);
  }

  /** Whoever takes over learns from Redis what is owed, or has seen it go, where Redis has nothing. */
  function claimed(by: string, before: Head | undefined): void {
    const term = termOf(by);
    if (reign?.publisher === by && reign.term === term && reign.hasAll) return;
    reign = { publisher: by, term, hasAll: false };
    const names = before && namesKnown(before);
    for (const { service, id, lostAtMs } of truth.owed()) {
      const isKnown = names ? names.has(service) && isStored(service, id) : followsSinceMs(by) < lostAtMs;
      if (!isKnown) truth.excuse(service, id);
    }
  }

  function namesKnown(before: Head): ReadonlySet<string> {
    const names = before.ring.entries.map(([, service]) => service);
    const catalog = attempt(() => decodeCatalog(redis().get(catalogKey(NAMESPACE)) ?? "", NAMESPACE));
    return new Set([...names, ...(catalog?.services.keys() ?? [])]);
  }

  function isStored(service: string, id: string): boolean {
    const text = redis().get(serviceKey(NAMESPACE, service)) ?? "";
    const instances = attempt(() => decodeSnapshot(text, NAMESPACE, service))?.instances ?? [];
    return instances.some((one) => one.id === id && (one.status === "up" || one.status === "suspect"));
  }

  function checkForward(what: string, before: Version | undefined, after: Version): void {
    if (!before) return;
    if (after.epoch < before.epoch) report("single writer", `${what} ${told(after)} was written over ${told(before)}`);
    // A revision is carried over by the head alone.
    else if (after.revision < before.revision && (what === HEAD || after.epoch === before.epoch)) {
      report("nothing acknowledged is lost", `${what} ${told(after)} was written over ${told(before)}`);
    }
  }

  const stored = new Map<string, Version>();
  /** Of what has been written, as it may be gone again by the time anybody asks. */
  function remember(key: string, text: string, version: Version): void {
    checkForward(key, stored.get(key), version);
    stored.set(key, version);
    const service = serviceOfKey(NAMESPACE, key);
    if (service === undefined) return;
    for (const { id, status } of decodeSnapshot(text, NAMESPACE, service).instances) {
      if (status === "up") truth.published(service, id);
    }
  }

  return {
    wrote({ by, headBefore, texts }) {
      const before = headBefore === undefined ? undefined : attempt(() => decodeHead(headBefore, NAMESPACE));
      for (const [key, text] of texts) remember(key, text, versionIn(text));
      const headText = texts.get(HEAD);
      if (headText === undefined) return;
      const head = decodeHead(headText, NAMESPACE);
      const claimant = claimants.get(head.epoch) ?? by;
      claimants.set(head.epoch, claimant);
      if (claimant !== by) report("single writer", `${by} wrote in epoch ${head.epoch}, which ${claimant} had claimed`);
      const isClaim = texts.size === 1 && (before === undefined || head.epoch > before.epoch);
      if (before && head.epoch !== before.epoch && !isClaim) report("single writer", "a commit changed the epoch");
      for (const [key, text] of texts) {
        if (key !== HEAD && versionIn(text).epoch !== head.epoch) report("single writer", `${key} is of another epoch`);
      }
      if (isClaim) claimed(by, before);
      else if (reign?.publisher === by) reign.hasAll = true;
    },
    lost() {
      stored.clear();
      const model = redis();
      for (const key of model.keys()) {
        const version = attempt(() => versionIn(model.get(key) ?? ""));
        if (version) stored.set(key, version);
      }
      lost();
    },
  };
}

const told = ({ epoch, revision }: Version) => `${epoch}/${revision}`;

/** All documents have both, before anything else that is called so. */
function versionIn(text: string): Version {
  const [, epoch] = /"epoch":(\d+)/.exec(text) ?? [];
  const [, revision] = /"revision":(\d+)/.exec(text) ?? [];
  if (epoch === undefined || revision === undefined) throw new Error("a document without a version");
  return { epoch: Number(epoch), revision: Number(revision) };
}

/** What somebody else has written there may be anything. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}
