import type { Registration } from "../../../contract/registration.ts";
import { within, DeadlineExceeded } from "../../../kernel/deadline.ts";
import { FingerpostError } from "../../../kernel/errors.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { codeOf, connect } from "../../net/connect.ts";
import { resolveTarget } from "../../net/target.ts";
import type { ProbeResult } from "./hold.ts";

/** An instance further away than this is of no use at the edge either. */
const TIMEOUT_MS = 1000;

/**
 * One TCP connection to the registered address and port, nothing sent. Undefined when that says nothing of the instance:
 * this side could not try, may not (link-local), or nobody could tell what its name leads to.
 */
export async function probe(
  { address, port }: Pick<Registration, "address" | "port">,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProbeResult | undefined> {
  try {
    const ip = await within(clock, TIMEOUT_MS, "The look-up of an address", resolveTarget(address));
    return await connect({ ip, port, timeoutMs: TIMEOUT_MS, clock, signal });
  } catch (error) {
    if (codeOf(error) === "ENOTFOUND") return "silent";
    if (error instanceof FingerpostError || error instanceof DeadlineExceeded || codeOf(error) !== "") return undefined;
    throw error;
  }
}
