import { Etcd3 } from "etcd3";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { createLog } from "../../node/log.ts";
import { createEtcd, type EtcdClient, type EtcdOptions } from "../../registrar/etcd/etcd.ts";
import type { FollowerSink } from "../../registrar/etcd/follower.ts";
import type { Right } from "../../registrar/etcd/setup/rights.ts";
import type { Etcd, KeyValue, Operation } from "../../registrar/etcd/port.ts";

/** etcd's limit of operations in one transaction. */
const OPERATIONS_MAX = 128;

export const parts = { clock: systemClock, random: systemRandom, log: createLog("test", "silent") };

interface Credentials {
  readonly username: string;
  readonly password: string;
}

export function connect(endpoint: string, user: Credentials, options: Partial<EtcdOptions> = {}): EtcdClient {
  return createEtcd({ endpoints: [endpoint], ...user, ...parts, ...options });
}

export function put(key: string, value = "value"): Operation {
  return { type: "put", key, value };
}

/** As few revisions as may be. */
export async function putTogether(etcd: Etcd, keys: readonly string[]): Promise<void> {
  for (let start = 0; start < keys.length; start += OPERATIONS_MAX) {
    await etcd.transact(
      [],
      keys.slice(start, start + OPERATIONS_MAX).map((key) => put(key)),
    );
  }
}

/** One revision for each key, many calls at a time. */
export async function putEach(etcd: Etcd, keys: readonly string[], value = "value"): Promise<void> {
  for (let start = 0; start < keys.length; start += OPERATIONS_MAX) {
    const batch = keys.slice(start, start + OPERATIONS_MAX);
    await Promise.all(batch.map((key) => etcd.transact([], [put(key, value)])));
  }
}

/** Drops history before the current revision, as an operator's compaction does; only root may. */
export async function compact(endpoint: string, root: Credentials, revision: number): Promise<void> {
  await asRoot(endpoint, root, (client) => client.kv.compact({ revision, physical: true }));
}

async function asRoot<T>(endpoint: string, root: Credentials, run: (client: Etcd3) => Promise<T>): Promise<T> {
  const client = new Etcd3({ hosts: endpoint, auth: root });
  try {
    return await run(client);
  } finally {
    client.close();
  }
}

/** Takes a right from a role, as an operator does. */
export async function revokeRight(endpoint: string, root: Credentials, role: string, right: Right): Promise<void> {
  await asRoot(endpoint, root, (client) =>
    client.auth.roleRevokePermission({
      role,
      key: Buffer.from(right.key),
      range_end: Buffer.from(right.end ?? ""),
    }),
  );
}

/** Gives a role the right to one more key, which makes every JWT that etcd has issued old. */
export async function grantRight(endpoint: string, root: Credentials, role: string, key: string): Promise<void> {
  const perm = { permType: "Readwrite", key: Buffer.from(key), range_end: Buffer.from("") } as const;
  await asRoot(endpoint, root, (client) => client.auth.roleGrantPermission({ name: role, perm }));
}

export interface Mirror extends FollowerSink {
  readonly entries: ReadonlyMap<string, KeyValue>;
  /** Of every put seen as an event, in order. */
  readonly keysPut: readonly string[];
  readonly restores: () => number;
}

/** A sink that holds what it is given, and refuses what goes back in revision within one list. */
export function createMirror(onApply: () => void = () => {}): Mirror {
  const entries = new Map<string, KeyValue>();
  const keysPut: string[] = [];
  let listed: KeyValue[] = [];
  let restores = 0;
  let revisionMin = 0;
  return {
    entries,
    keysPut,
    restores: () => restores,
    page(page, isFirst) {
      if (isFirst) listed = [];
      listed.push(...page);
    },
    restore(revision) {
      entries.clear();
      for (const entry of listed) entries.set(entry.key, entry);
      if (entries.size !== listed.length) throw new Error("a key is listed twice");
      revisionMin = revision;
      restores++;
    },
    apply(events, revision) {
      for (const { type, entry } of events) {
        if (entry.modRevision < revisionMin) throw new Error(`${entry.modRevision} after ${revisionMin}`);
        revisionMin = entry.modRevision;
        if (type === "delete") {
          entries.delete(entry.key);
        } else {
          entries.set(entry.key, entry);
          keysPut.push(entry.key);
        }
      }
      if (revision !== revisionMin) throw new Error(`the revision is told as ${revision}, but is ${revisionMin}`);
      onApply();
    },
  };
}
