import { createConnection } from "node:net";
import type { Clock } from "../../kernel/clock.ts";
import { FingerpostError } from "../../kernel/errors.ts";

/** What this process or machine has run out of, or may not do: it says nothing of the other side. */
export const OWN_FAULTS = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL", "EACCES", "EPERM"]);
/** The other side has said no. Whatever else goes wrong is no answer. */
const REFUSALS = new Set(["ECONNREFUSED", "ECONNRESET"]);

export interface ConnectOptions {
  /** As `resolveTarget` gives it. */
  readonly ip: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Ends the try early, as `silent`. */
  readonly signal?: AbortSignal;
}

/** Whether a try to connect failed for want of something on this side, such as file descriptors. */
export function isOwnFault(error: unknown): boolean {
  return OWN_FAULTS.has(codeOf(error));
}

/** The system's code of an error, such as ECONNREFUSED; empty when it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/**
 * One TCP connection, closed as soon as it stands. `silent` when nothing answered in time or no way leads there. Rejects
 * with `resource_exhausted` when this side could not even try.
 */
export function connect(options: ConnectOptions): Promise<"answered" | "refused" | "silent"> {
  const { ip, port, timeoutMs, clock, signal } = options;
  if (signal?.aborted) return Promise.resolve("silent");
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: ip, port });
    const end = (settle: () => void) => {
      cancel();
      signal?.removeEventListener("abort", giveUp);
      socket.destroy();
      settle();
    };
    const giveUp = () => end(() => resolve("silent"));
    const cancel = clock.after(timeoutMs, giveUp);
    signal?.addEventListener("abort", giveUp, { once: true });
    socket.once("connect", () => end(() => resolve("answered")));
    socket.once("error", (cause) => {
      if (isOwnFault(cause)) {
        const message = `This process cannot open a connection (${codeOf(cause)}).`;
        end(() => reject(new FingerpostError("resource_exhausted", message, { cause })));
      } else {
        end(() => resolve(REFUSALS.has(codeOf(cause)) ? "refused" : "silent"));
      }
    });
  });
}
