import { CLUSTER_KEY } from "../../contract/etcd-keys.ts";
import { EtcdError, type Etcd } from "./port.ts";

const IDENTITY_BYTES = 16;

/**
 * The random identity of this etcd: read, or made by whoever comes first, once for all. It tells one cluster from
 * another, which etcd's own cluster id does not: fresh clusters of one configuration share it. Lower-case hexadecimal,
 * 32 digits. Rejects with an EtcdError.
 */
export async function readOrCreateIdentity(
  etcd: Pick<Etcd, "get" | "transact">,
  randomBytes: (count: number) => Uint8Array,
): Promise<string> {
  const { entry } = await etcd.get(CLUSTER_KEY);
  if (entry) return entry.value;
  const value = Buffer.from(randomBytes(IDENTITY_BYTES)).toString("hex");
  const { succeeded, results } = await etcd.transact(
    [{ key: CLUSTER_KEY, target: "createRevision", equals: 0 }],
    [{ type: "put", key: CLUSTER_KEY, value }],
    [{ type: "get", key: CLUSTER_KEY }],
  );
  if (succeeded) return value;
  const theirs = results[0]?.value;
  if (theirs === undefined) throw new EtcdError("unavailable", "the identity of this etcd was made and removed again");
  return theirs;
}
