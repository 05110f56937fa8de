import { crc32 } from "node:zlib";
import * as v from "valibot";
import { checkSchema } from "../../../contract/check.ts";
import { instanceKey } from "../../../contract/etcd-keys.ts";
import { nameSchema } from "../../../contract/names.ts";
import { TTL_SECONDS_MAX } from "../../../contract/registration.ts";
import type { Held } from "../held.ts";
import type { PoolLease } from "../lease-pool.ts";

/** Of the format. A journal of another version is set aside like a corrupt one. */
const VERSION = 1;
/** Sentinel values that may stand in etcd for one lease: the one there was, and the one a start was about to write. */
const SENTINELS_MAX = 2;
/** Eight hexadecimal digits and a space. */
const CHECKSUM_LENGTH = 9;

const ref = { namespace: nameSchema, service: nameSchema, instance: nameSchema };
const livenessSchema = v.variant("type", [
  v.strictObject({
    type: v.literal("heartbeat"),
    ttlSeconds: v.pipe(v.number(), v.gtValue(0), v.maxValue(TTL_SECONDS_MAX)),
  }),
  v.strictObject({ type: v.literal("check"), check: checkSchema }),
  v.strictObject({ type: v.literal("none") }),
]);
const leaseId = v.pipe(v.string(), v.regex(/^\d{1,20}$/));

/**
 * What a journal's lines say. Each gives the whole of what it is about, so a line may stand there twice, and the last
 * one about a thing is what holds.
 */
const recordSchema = v.variant("type", [
  /** The first line. `behind`: what follows is known to lack what was acknowledged after it. */
  v.strictObject({ type: v.literal("agent"), version: v.literal(VERSION), name: nameSchema, behind: v.boolean() }),
  v.strictObject({
    type: v.literal("lease"),
    id: leaseId,
    namespace: nameSchema,
    ttlSeconds: v.pipe(v.number(), v.integer(), v.minValue(1)),
    sentinels: v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(SENTINELS_MAX)),
  }),
  v.strictObject({ type: v.literal("lease-ended"), id: leaseId }),
  v.strictObject({
    type: v.literal("instance"),
    ...ref,
    liveness: livenessSchema,
    source: v.picklist(["api", "file"]),
    value: v.string(),
  }),
  v.strictObject({ type: v.literal("instance-gone"), ...ref }),
]);

const sentinelSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ agent: nameSchema, incarnation: v.pipe(v.string(), v.minLength(1)) }),
);

export type StateRecord = v.InferOutput<typeof recordSchema>;
type RecordOf<Type extends StateRecord["type"]> = Extract<StateRecord, { readonly type: Type }>;
export type StoredLease = RecordOf<"lease">;
export type StoredInstance = RecordOf<"instance">;

/** What an earlier run has left. */
export interface Stored {
  agent: string | undefined;
  /** Something that was acknowledged may be missing, or stand here as it was before. */
  behind: boolean;
  /** By id. */
  readonly leases: Map<string, StoredLease>;
  /** By key. */
  readonly instances: Map<string, StoredInstance>;
}

/** Where the agent says what it holds. */
export interface StateJournal {
  append(record: StateRecord): void;
  flushed(): Promise<void>;
}

/** What outlives this process. */
export interface AgentState {
  /** What an earlier run has left. Emptied as it is taken in. */
  readonly stored: Stored;
  readonly journal: StateJournal & { open(live: () => Iterable<StateRecord>): Promise<void> };
}

/** Nothing outlives this process. */
export function withoutState(): AgentState {
  const nothing = () => Promise.resolve();
  return { stored: emptyState(), journal: { append: () => {}, flushed: nothing, open: nothing } };
}

export function emptyState(): Stored {
  return { agent: undefined, behind: false, leases: new Map(), instances: new Map() };
}

export function agentRecord(name: string, behind: boolean): StateRecord {
  return { type: "agent", version: VERSION, name, behind };
}

export function leaseRecord({ id, namespace, ttlSeconds, sentinelValue }: PoolLease): StoredLease {
  return { type: "lease", id, namespace, ttlSeconds, sentinels: [sentinelValue] };
}

export function recordOf({ ref: { namespace, service, instance }, liveness, source, value }: Held): StateRecord {
  return { type: "instance", namespace, service, instance, liveness, source, value };
}

/** One line: a checksum, the record as JSON, a line end. */
export function encodeRecord(record: StateRecord): string {
  const json = JSON.stringify(record);
  return `${checksum(json)}${json}\n`;
}

/** Whether a line, which is given without its end, is as it was written. */
export function isIntact(line: Buffer): boolean {
  return line.toString("latin1", 0, CHECKSUM_LENGTH) === checksum(line.subarray(CHECKSUM_LENGTH));
}

/** What an intact line says; throws for one that is no record of this version. */
export function decodeRecord(line: Buffer): StateRecord {
  const parsed = v.safeParse(recordSchema, JSON.parse(line.toString("utf8", CHECKSUM_LENGTH)));
  if (!parsed.success) throw new Error(`it is no record of version ${VERSION}: ${parsed.issues[0].message}`);
  return parsed.output;
}

/** Takes a record into what is stored. */
export function applyRecord(stored: Stored, record: StateRecord): void {
  switch (record.type) {
    case "agent":
      stored.agent = record.name;
      stored.behind = record.behind;
      break;
    case "lease":
      stored.leases.set(record.id, record);
      break;
    case "lease-ended":
      stored.leases.delete(record.id);
      break;
    case "instance":
      stored.instances.set(instanceKey(record), record);
      break;
    case "instance-gone":
      stored.instances.delete(instanceKey(record));
  }
}

/** Which run of which agent put a sentinel; undefined for a value that is none of ours. */
export function sentinelRun(value: string): { readonly agent: string; readonly incarnation: string } | undefined {
  const parsed = v.safeParse(sentinelSchema, value);
  return parsed.success ? parsed.output : undefined;
}

function checksum(json: string | Buffer): string {
  return `${crc32(json).toString(16).padStart(8, "0")} `;
}
