/**
 * What the registrar asks of etcd. Revisions are numbers (etcd's int64 stays far below 2^53), lease ids decimal
 * strings (they use all 64 bits). Every call rejects with an EtcdError, never hangs past its deadline, and none
 * retries a write by itself: the caller knows whether it may.
 */

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** "0" without a lease. */
  readonly lease: string;
}

/** A condition of a transaction. `createRevision` and `modRevision` 0 mean that the key does not exist. */
export type Compare =
  | { readonly key: string; readonly target: "createRevision" | "modRevision"; readonly equals: number }
  | { readonly key: string; readonly target: "lease" | "value"; readonly equals: string };

export type Operation =
  | { readonly type: "put"; readonly key: string; readonly value: string; readonly lease?: string }
  | { readonly type: "delete"; readonly key: string }
  /** With `atRevision` the key as it was then; etcd has to have that, or the whole transaction is rejected. */
  | { readonly type: "get"; readonly key: string; readonly atRevision?: number };

export interface TransactionResult {
  readonly succeeded: boolean;
  readonly revision: number;
  /** One element an operation of the branch that ran: the key found for a `get`, undefined otherwise. */
  readonly results: readonly (KeyValue | undefined)[];
}

export interface Page {
  readonly entries: readonly KeyValue[];
  /** Of the whole list: the first page's, at which the others are pinned. */
  readonly revision: number;
}

export interface WatchEvent {
  readonly type: "put" | "delete";
  /** Of a delete only `key` and `modRevision` are of now; the value and lease are those it had, "" when unknown. */
  readonly entry: KeyValue;
}

export interface WatchHandlers {
  /** The server has made the watch; events follow from here. */
  onCreated(): void;
  /** Whole revisions, in order: fragments are put together before. */
  onEvents(events: readonly WatchEvent[]): void;
  /** The end of this watch, once, and last. `compactRevision` when what was asked for is no longer there. */
  onEnd(reason: { readonly compactRevision?: number; readonly error?: EtcdError }): void;
}

export interface LeaseDescription {
  readonly ttlSeconds: number;
  readonly remainingSeconds: number;
  readonly keys: readonly string[];
}

export interface LeaseRenewal {
  readonly lease: string;
  /** 0: the lease has ended. */
  readonly ttlSeconds: number;
}

export interface RenewalHandlers {
  onRenewal(renewal: LeaseRenewal): void;
  /** The end of the stream, once, and last. */
  onEnd(error: EtcdError): void;
}

/** A LeaseKeepAlive stream. */
export interface RenewalStream {
  renew(lease: string): void;
  close(): void;
}

export interface Etcd {
  /**
   * Linearizable. With `atRevision` the key as it was then; the revision of the answer is that of now all the same.
   * Rejects with `compacted` or `future` where etcd has nothing of that revision.
   */
  get(key: string, atRevision?: number): Promise<{ readonly entry: KeyValue | undefined; readonly revision: number }>;
  /** Pages in key order, all at the revision of the first; of the keys from `from` on where that is given. */
  list(prefix: string, signal: AbortSignal, from?: string): AsyncIterable<Page>;
  /** How many keys a prefix had at `revision`. Rejects with `compacted` or `future` as `get` does. */
  count(prefix: string, revision: number): Promise<number>;
  /** Rejects with `compacted` or `future` as `get` does, where an operation has `atRevision`. */
  transact(
    compares: readonly Compare[],
    success: readonly Operation[],
    failure?: readonly Operation[],
  ): Promise<TransactionResult>;
  grantLease(ttlSeconds: number): Promise<{ readonly lease: string; readonly ttlSeconds: number }>;
  /** Ends a lease and deletes its keys; one that has already ended is no error. */
  revokeLease(lease: string): Promise<void>;
  /** The term of a lease, what is left of it, and the keys on it; undefined when there is no such lease. */
  describeLease(lease: string): Promise<LeaseDescription | undefined>;
  /** Watches a prefix from `startRevision` on; returns how to stop it, after which no handler is called. */
  watch(prefix: string, startRevision: number, handlers: WatchHandlers): () => void;
  openRenewals(handlers: RenewalHandlers): RenewalStream;
  close(): Promise<void>;
}

/**
 * `compacted`: the revision asked for is gone. `future`: it is not there yet, or no more, after a restore. `unauthenticated` and `permission_denied`: credentials or role.
 * `lease_not_found`: a put names a lease that has ended. `invalid`: our request is wrong. `unavailable`: not reached,
 * timed out, or no leader; worth a retry, though a write may have been made all the same.
 */
export type EtcdErrorCode =
  | "compacted"
  | "future"
  | "unauthenticated"
  | "permission_denied"
  | "lease_not_found"
  | "invalid"
  | "unavailable";

export class EtcdError extends Error {
  override readonly name = "EtcdError";
  readonly code: EtcdErrorCode;
  /** The call was not sent, and another one will not be before this time has passed. */
  readonly retryInMs: number | undefined;

  constructor(code: EtcdErrorCode, message: string, cause?: unknown, retryInMs?: number) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryInMs = retryInMs;
  }
}

/** `unauthenticated`, for good: etcd does not know this user, or not with this password. */
export class EtcdLoginRefused extends EtcdError {
  constructor(username: string, cause: EtcdError) {
    super("unauthenticated", `etcd refuses user "${username}" or its password (${cause.message})`, cause);
  }
}

/** `permission_denied`, with what the role lacks. */
export class EtcdDenied extends EtcdError {
  /** The rights the call needs, and what grants them: a sentence for operators. */
  readonly advice: string;

  constructor(rights: readonly string[], cause: EtcdError) {
    const advice = `It needs ${rights.join(" and ")}, which \`fingerpost etcd-setup\` grants.`;
    super("permission_denied", `${cause.message}. ${advice}`, cause);
    this.advice = advice;
  }
}

/** `unavailable`, though etcd answers: it has no room for writes, or too much to do. */
export class EtcdExhausted extends EtcdError {
  /** A sentence for callers and operators. */
  readonly advice: string;

  constructor(message: string) {
    super("unavailable", message);
    this.advice = message.includes("database space exceeded")
      ? "etcd is full and takes no writes until its operator compacts it, defragments it and disarms its alarm."
      : "etcd has more to do than it takes on.";
  }
}
