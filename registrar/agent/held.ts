import type { InstanceRef } from "../../contract/etcd-keys.ts";
import {
  decodeRegistration,
  type Registration,
  type RegistrationRequest,
  type Status,
} from "../../contract/registration.ts";
import type { Check } from "../../contract/check.ts";
import type { CheckView } from "./checks/checks.ts";
import type { KeyValue } from "../etcd/port.ts";
import type { PoolLease } from "./lease-pool.ts";

/** Where an instance's key stands in etcd, as far as this agent knows. */
type Position =
  /** An earlier run of this agent held it, and its take-up is not done. `beaten`: there was a heartbeat since. */
  | { readonly type: "recorded"; readonly beaten: boolean }
  /** An earlier run held it, and no lease of ours has it any more. A sign of life makes it `lost`; else it is dropped. */
  | { readonly type: "dormant" }
  /** Nothing of it is in etcd, as far as is known: its first write is under way. */
  | { readonly type: "unwritten" }
  /** Etcd has it so. A write, the loss of the lease or a move to another agent ends this. */
  | { readonly type: "written"; readonly lease: PoolLease; readonly modRevision: number }
  /**
   * A write was not answered: etcd has what was there before or what was written, or will have it yet, as long as the
   * sentinel stands at the revision it had then. The next write moves the sentinel, and reads, first.
   */
  | { readonly type: "uncertain"; readonly lease: PoolLease; readonly sentinelRevision: number }
  /** Its lease has ended. It is put again under another. `was`: how it stood on that, where this process knows. */
  | { readonly type: "lost"; readonly was?: LostPosition };

export interface LostPosition {
  readonly lost: PoolLease;
  /** Of what was written; undefined when the last write was not answered. */
  readonly writtenAt: number | undefined;
}

/** How this agent knows that an instance is up. */
export type Liveness =
  /** It says so itself, at least every `ttlSeconds`. */
  | { readonly type: "heartbeat"; readonly ttlSeconds: number }
  /** The agent finds out. */
  | { readonly type: "check"; readonly check: Check }
  /** It is up for as long as its agent lives. */
  | { readonly type: "none" };

/** Who says what an instance is: whoever calls the API, or the registrar's configuration file. */
export type Source = "api" | "file";

/**
 * An instance this agent answers for. Its fields change only in the instance's own turn of the queue, but for the
 * position, which the end of its lease makes `lost` at any time.
 */
export interface Held {
  readonly ref: InstanceRef;
  readonly key: string;
  liveness: Liveness;
  source: Source;
  /** What etcd has or shall have; `value` is its JSON. */
  registration: Registration;
  value: string;
  position: Position;
  /** Etcd has confirmed it at least once. Until then it is kept only to clean up after a write of unknown outcome. */
  confirmed: boolean;
}

/** How an agent shows an instance it holds. */
export interface HeldView {
  readonly namespace: string;
  readonly service: string;
  /** With what a check saw last, where there is one. */
  readonly liveness: Liveness & Partial<CheckView>;
  readonly source: Source;
  readonly instance: Registration;
}

export function viewOf(held: Held, seen?: CheckView): HeldView {
  const { ref, liveness, source, registration } = held;
  const { namespace, service } = ref;
  return { namespace, service, liveness: { ...liveness, ...seen }, source, instance: registration };
}

/**
 * The registration a request asks for. Metadata is put in the order of its keys, so that the same request has the same
 * JSON and writes nothing the second time.
 */
export function toRegistration(id: string, request: RegistrationRequest, registeredAt: string): Registration {
  const { id: _id, ttlSeconds: _ttlSeconds, check: _check, metadata, status, ...fields } = request;
  const entries = Object.entries(metadata).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { id, ...fields, metadata: Object.fromEntries(entries), status, registeredAt };
}

/** What a request says, where nothing else is said, of how an instance shows that it is up. */
export function livenessOf({ check, ttlSeconds }: RegistrationRequest): Liveness {
  return check ? { type: "check", check } : { type: "heartbeat", ttlSeconds };
}

/** The same instance in another state; `cause` says why it is down. */
export function withStatus(registration: Registration, status: Status, cause?: string): Registration {
  const { cause: _cause, status: _status, registeredAt, ...fields } = registration;
  return { ...fields, status, ...(cause === undefined ? {} : { cause }), registeredAt };
}

/** What an entry registers for the instance of this id, if that is a registration. */
export function registrationOf(existing: KeyValue | undefined, id: string): Registration | undefined {
  if (!existing) return undefined;
  try {
    const registration = decodeRegistration(existing.value, id);
    return { ...registration, registeredAt: new Date(registration.registeredAt).toISOString() };
  } catch {
    // What is there is not a registration, and is about to be replaced by one.
    return undefined;
  }
}
