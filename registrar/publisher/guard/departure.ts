import type { Registration } from "../../../contract/registration.ts";
import type { LeaseOwner } from "./sentinels.ts";

/** The cause of a hold whose instance went with its lease, and of one that a list no longer had. */
export const LEASE_CAUSE = "lease";
export const MISSING_CAUSE = "missing";

/**
 * An instance that was `up` and is so no more, though nobody took it away on purpose. `lost`: its lease ended.
 * `missing`: a new list, or the start of a leader, finds it gone, or its value is no registration any more. `down`: its agent lives and says so.
 */
export interface Departure {
  readonly type: "lost" | "missing" | "down";
  readonly service: string;
  /** As it last was when it was up. */
  readonly registration: Registration;
  /** `lease`, `missing`, or what its agent gave for a cause. */
  readonly cause: string;
  /** Those of one revision are judged together. */
  readonly revision: number;
  /** Whose lease it was under, as far as that is known. */
  readonly owner?: LeaseOwner;
  /** Etcd was restored from a backup that lacks it, which says nothing about the instance. */
  readonly forgotten?: boolean;
  /** How long ago it was, where it is judged only now. */
  readonly agoMs?: number;
}

/** What is known of an instance that is gone from etcd. */
export interface Departed {
  /** Somebody took it away: it was deleted while its lease lived, or it was draining already. */
  readonly planned: boolean;
  readonly revision: number;
  readonly owner?: LeaseOwner;
  /** As in a departure. */
  readonly forgotten?: boolean;
}
