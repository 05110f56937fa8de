import type { Check } from "../../../contract/check.ts";
import type { Registration } from "../../../contract/registration.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { DeadlineExceeded, within } from "../../../kernel/deadline.ts";
import { FingerpostError } from "../../../kernel/errors.ts";
import { connect } from "../../net/connect.ts";
import { resolveTarget, type Lookup } from "../../net/target.ts";
import type { Endpoint } from "./endpoint.ts";
import { checkGrpc } from "./grpc-check.ts";
import { checkHttp } from "./http-check.ts";
import { failed, nameUnanswered, outcomeOfError, passed, stoodStill, type CheckOutcome } from "./outcome.ts";

/** How late its timeout may come until it counts as this process having been stopped, or too busy to read an answer. */
const STALL_MS = 250;
const TLS_PROTOCOLS = new Set(["https", "grpcs"]);

export type CheckTarget = Pick<Registration, "address" | "port" | "protocol">;

/** Makes one check, in `timeoutSeconds` at most. Never rejects. Ends early, with any outcome, when `signal` aborts. */
export type Probe = (target: CheckTarget, check: Check, signal: AbortSignal) => Promise<CheckOutcome>;

export interface ProberOptions {
  readonly clock: Clock;
  /** PEM of the authorities that checks over TLS trust. Default: those of the system. */
  readonly ca?: string | undefined;
  /** How names are looked up. Default: the system's resolver. */
  readonly lookup?: Lookup;
}

export function createProber({ clock, ca, lookup }: ProberOptions): Probe {
  const lookups = new Map<string, Promise<string>>();

  /** One look-up of a name at a time: the system has few threads for them, and a slow one would take them all. */
  function resolve(address: string): Promise<string> {
    const underWay = lookups.get(address);
    if (underWay) return underWay;
    const resolved = resolveTarget(address, lookup).finally(() => lookups.delete(address));
    lookups.set(address, resolved);
    return resolved;
  }

  async function run(
    target: CheckTarget,
    check: Check,
    signal: AbortSignal,
    onResolved: () => void,
  ): Promise<CheckOutcome> {
    const { address, protocol } = target;
    const port = check.port ?? target.port;
    const ip = await Promise.race([resolve(address), givenUp(signal)]);
    onResolved();
    if (check.type === "tcp") {
      const what = await connect({ ip, port, timeoutMs: check.timeoutSeconds * 1000, clock, signal });
      if (what === "answered") return passed;
      return failed(what === "refused" ? "connection refused" : "no answer");
    }
    const secure = check.tls ?? TLS_PROTOCOLS.has(protocol);
    const endpoint: Endpoint = { ip, address, port, ...(secure ? { tls: { verify: check.tlsVerify, ca } } : {}) };
    return check.type === "http" ? await checkHttp(endpoint, check, signal) : await checkGrpc(endpoint, check, signal);
  }

  return async (target, check, signalGiven) => {
    const timeoutMs = check.timeoutSeconds * 1000;
    const startedMs = clock.monotonic();
    const end = new AbortController();
    const signal = AbortSignal.any([signalGiven, end.signal]);
    let resolved = false;
    const running = run(target, check, signal, () => (resolved = true));
    const outcome = await within(clock, timeoutMs, "the check", running).catch((error: unknown) => {
      // A resolver that is away says so itself only after 10 s and more, far behind the timeout of most checks.
      return error instanceof DeadlineExceeded && !resolved ? nameUnanswered : outcomeOfThrown(error);
    });
    end.abort();
    const lateMs = clock.monotonic() - startedMs - timeoutMs;
    return outcome.type === "failed" && lateMs >= STALL_MS ? stoodStill : outcome;
  };
}

function outcomeOfThrown(error: unknown): CheckOutcome {
  if (error instanceof DeadlineExceeded) return failed("timeout");
  if (!(error instanceof FingerpostError)) return outcomeOfError(error);
  const { code } = error;
  return code === "resource_exhausted" ? { type: "void", reason: code } : failed("address not allowed");
}

function givenUp(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Error("given up")), { once: true });
  });
}
