import { FingerpostError } from "../kernel/errors.ts";

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

/** Bounds what all requests hold together. `enter` throws `resource_exhausted` when there are too many. */
export function createAdmission({ requestsMax, bytesMax }: AdmissionOptions): { enter(): Place } {
  let requests = 0;
  let bytes = 0;
  return {
    enter() {
      if (requests >= requestsMax) {
        throw new FingerpostError("resource_exhausted", `There are ${requestsMax} requests under way.`, {
          retryAfterSeconds: 1,
        });
      }
      requests++;
      let own = 0;
      return {
        hold(more) {
          if (bytes + more > bytesMax) {
            throw new FingerpostError("resource_exhausted", "Too many bytes of requests are under way.", {
              retryAfterSeconds: 1,
            });
          }
          bytes += more;
          own += more;
        },
        leave() {
          requests--;
          bytes -= own;
        },
      };
    },
  };
}
