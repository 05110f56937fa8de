import type { Clock } from "../../kernel/clock.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { bearerToken, digestsEqual, sha256 } from "../../kernel/secret.ts";
import { createBoundedMap } from "../bounded-map.ts";
import type { Background } from "../flight.ts";
import { unrestrictedCaller, type Caller } from "./caller.ts";
import { callerOf, type AccessKey } from "./keys.ts";

/** Verified tokens that are remembered, and for how long: a hash for every request would cost more than the lookup. */
const TOKENS_MAX = 1000;
const TOKEN_MS_MAX = 60_000;

/** Who may ask: everyone, or the holder of one of the keys. */
export type AccessRule = { readonly type: "open" } | { readonly type: "keys"; readonly keys: readonly AccessKey[] };

export interface Access {
  /**
   * Tells who asks: at once for a token that is remembered. Throws `unauthenticated`, at once or by the promise.
   * `background` keeps alive what others may wait for as well.
   */
  admit(request: Request, background: Background): Caller | Promise<Caller>;
}

interface Verified {
  readonly caller: Caller;
  /** By the monotonic clock. */
  readonly until: number;
}

export function createAccess(rule: AccessRule, clock: Clock): Access {
  if (rule.type === "open") {
    const anybody = unrestrictedCaller("open");
    return { admit: () => anybody };
  }
  const keys = rule.keys.map((key) => ({ digest: key.digest, caller: callerOf(key) }));
  /** By the whole Authorization header, so that what is remembered is not even parsed. */
  const verified = createBoundedMap<string, Verified>({ entriesMax: TOKENS_MAX });

  async function verify(authorization: string, token: string): Promise<Caller> {
    const digest = await sha256(token);
    // All are compared, so that the time does not tell which one matched.
    const [known] = keys.filter((key) => digestsEqual(key.digest, digest));
    if (!known) throw refused();
    verified.set(authorization, { caller: known.caller, until: clock.monotonic() + TOKEN_MS_MAX });
    return known.caller;
  }

  return {
    admit(request) {
      const authorization = request.headers.get("authorization") ?? "";
      const remembered = verified.peek(authorization);
      if (remembered && clock.monotonic() < remembered.until) return remembered.caller;
      const token = bearerToken(authorization);
      if (token === undefined) throw refused();
      return verify(authorization, token);
    },
  };
}

function refused(): FingerpostError {
  return new FingerpostError("unauthenticated", "A valid bearer token is required.");
}
