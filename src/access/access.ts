import type { Clock } from "../../kernel/clock.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { bearerToken, digestsEqual, sha256 } from "../../kernel/secret.ts";
import { createBoundedMap } from "../memory/bounded-map.ts";
import type { Background } from "../lookup/flight.ts";
import type { ResolverLog } from "../log.ts";
import { unrestrictedCaller, type Caller } from "./caller.ts";
import { createKeySet } from "./key-set.ts";
import { createKeySource } from "./key-source.ts";
import { callerOf, type AccessKey } from "./keys.ts";
import { looksLikeToken } from "./jws.ts";
import { createTokenVerifier, type TokenRule } from "./tokens.ts";

/**
 * Verified tokens that are remembered, what their headers have in characters together, and for how long: a hash for
 * every request would cost more than the lookup, and a JWT's signature a hundred times that.
 */
const TOKENS_MAX = 1000;
const TOKEN_CHARACTERS_MAX = 2 * 1024 * 1024;
const TOKEN_MS_MAX = 60_000;

/** Who may ask: everyone, or the holder of one of the keys or of a JWT. */
export type AccessRule =
  | { readonly type: "open" }
  | { readonly type: "keys"; readonly keys: readonly AccessKey[]; readonly jwt?: TokenRule };

export interface Access {
  /**
   * Tells who asks: at once for a token that is remembered. Throws `unauthenticated`, and `unavailable` while the issuer
   * of a JWT cannot be asked for its keys; at once or by the promise. `background` keeps alive what others wait for too.
   */
  admit(request: Request, background: Background): Caller | Promise<Caller>;
}

interface Verified {
  readonly caller: Caller;
  /** By the monotonic clock. */
  readonly until: number;
  readonly characters: number;
}

export interface AccessOptions {
  readonly rule: AccessRule;
  readonly clock: Clock;
  readonly log: ResolverLog;
}

export function createAccess({ rule, clock, log }: AccessOptions): Access {
  if (rule.type === "open") {
    const anybody = unrestrictedCaller("open");
    return { admit: () => anybody };
  }
  const keys = rule.keys.map((key) => ({ digest: key.digest, caller: callerOf(key) }));
  const tokens = rule.jwt && createTokenVerifier({ ...rule.jwt, keys: keySetOf(rule.jwt), clock });
  /**
   * By the whole Authorization header in its usual form, so that what is remembered is not even parsed. Other spellings
   * of it have no place of their own: one token in many would push out everyone else's.
   */
  const verified = createBoundedMap<string, Verified>({
    entriesMax: TOKENS_MAX,
    weightMax: TOKEN_CHARACTERS_MAX,
    weightOf: ({ characters }) => characters,
  });

  function keySetOf({ jwksUrl }: TokenRule) {
    return createKeySet({ read: createKeySource(jwksUrl), clock, log });
  }

  function remember(authorization: string, caller: Caller, forMs: number): Caller {
    const until = clock.monotonic() + Math.min(forMs, TOKEN_MS_MAX);
    verified.set(authorization, { caller, until, characters: authorization.length });
    return caller;
  }

  function recall(authorization: string): Caller | undefined {
    // A use, so that tokens which come once push out none that are in use.
    const remembered = verified.get(authorization);
    return remembered && clock.monotonic() < remembered.until ? remembered.caller : undefined;
  }

  async function verify(authorization: string, token: string, background: Background): Promise<Caller> {
    const digest = await sha256(token);
    // All are compared, so that the time does not tell which one matched.
    const [known] = keys.filter((key) => digestsEqual(key.digest, digest));
    if (known) return remember(authorization, known.caller, TOKEN_MS_MAX);
    const told = tokens && looksLikeToken(token) ? await tokens.verify(token, background) : undefined;
    if (!told) throw refused();
    return remember(authorization, told.caller, told.expiresAt - clock.now());
  }

  return {
    admit(request, background) {
      const authorization = request.headers.get("authorization");
      if (authorization === null) throw refused();
      const caller = recall(authorization);
      if (caller) return caller;
      const token = bearerToken(authorization);
      if (token === undefined) throw refused();
      const usual = `Bearer ${token}`;
      return (usual !== authorization && recall(usual)) || verify(usual, token, background);
    },
  };
}

/** The same for whatever is wrong: what was wrong would help who guesses. */
function refused(): FingerpostError {
  return new FingerpostError("unauthenticated", "A valid bearer token is required.");
}
