import { FingerpostError } from "../kernel/errors.ts";
import type { Access } from "./access.ts";

/** Both for each access on its own. */
export interface AdmissionOptions {
  readonly requestsMax: number;
  readonly bytesMax: number;
}

/** The place one request holds until it is answered. */
export interface Place {
  /** Counts bytes the request holds. Throws `resource_exhausted`. */
  hold(bytes: number): void;
  leave(): void;
}

/**
 * Bounds what the requests of one access hold together, and apart from the other's: whoever may only read cannot keep
 * others from writing. `enter` throws `resource_exhausted` when there are too many.
 */
export function createAdmission({ requestsMax, bytesMax }: AdmissionOptions): { enter(access: Access): Place } {
  const heldBy: Readonly<Record<Access, { requests: number; bytes: number }>> = {
    "read-write": { requests: 0, bytes: 0 },
    "read-only": { requests: 0, bytes: 0 },
  };
  return {
    enter(access) {
      const held = heldBy[access];
      if (held.requests >= requestsMax) {
        throw new FingerpostError("resource_exhausted", `There are ${requestsMax} requests under way.`, {
          retryAfterSeconds: 1,
        });
      }
      held.requests++;
      let own = 0;
      return {
        hold(more) {
          if (held.bytes + more > bytesMax) {
            throw new FingerpostError("resource_exhausted", "Too many bytes of requests are under way.", {
              retryAfterSeconds: 1,
            });
          }
          held.bytes += more;
          own += more;
        },
        leave() {
          held.requests--;
          held.bytes -= own;
        },
      };
    },
  };
}
