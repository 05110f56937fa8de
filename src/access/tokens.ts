import type { Clock } from "../../kernel/clock.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import type { Background } from "../lookup/flight.ts";
import type { Caller } from "./caller.ts";
import { createSignatureCheck, readToken, type SignedToken } from "./jws.ts";
import type { KeySet } from "./key-set.ts";
import { parseScope, SCOPES_MAX, scopedCaller, type Scope } from "./scopes.ts";

/** How far an issuer's clock may be ahead of ours where a token says from when it counts. Past its `exp` none is taken. */
const NOT_BEFORE_LEEWAY_MS = 30_000;
const SCOPE_PREFIX = "fingerpost:";
/** Characters that tell callers apart: as many as OpenID Connect allows a `sub` (Core 1.0, 2). Names of callers are kept. */
const NAME_LENGTH_MAX = 255;

/** What a JWT must say to be taken. */
export interface TokenRule {
  readonly jwksUrl: string;
  /** The `iss` claim. */
  readonly issuer: string;
  /** One of the `aud` claim. */
  readonly audience: string;
}

export interface VerifiedToken {
  readonly caller: Caller;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface TokenVerifier {
  /**
   * Undefined for a token that is not valid. Throws `unavailable` while its issuer's keys cannot be read, and
   * `permission_denied` for one that is valid and has too many scopes.
   */
  verify(token: string, background: Background): Promise<VerifiedToken | undefined>;
}

export interface TokenVerifierOptions extends Pick<TokenRule, "issuer" | "audience"> {
  readonly keys: KeySet;
  readonly clock: Pick<Clock, "now">;
}

/**
 * Verifies JWTs (RFC 7519) by the issuer's public keys. It is not told what is wrong with one: that would help who
 * guesses. Times are judged by the clock that is passed in.
 */
export function createTokenVerifier({ keys, clock, issuer, audience }: TokenVerifierOptions): TokenVerifier {
  const isSignedBy = createSignatureCheck();

  /** Milliseconds since the epoch; undefined for claims that do not count here and now. */
  function expiryOf({ iss, aud, exp, nbf }: SignedToken["claims"]): number | undefined {
    if (iss !== issuer || !(Array.isArray(aud) ? aud : [aud]).includes(audience)) return undefined;
    if (typeof exp !== "number" || !(clock.now() < exp * 1000)) return undefined;
    if (nbf === undefined) return exp * 1000;
    return typeof nbf === "number" && nbf * 1000 <= clock.now() + NOT_BEFORE_LEEWAY_MS ? exp * 1000 : undefined;
  }

  return {
    async verify(text, background) {
      const token = readToken(text);
      if (!token) return undefined;
      // Before the signature, which costs most, and before any reading of keys: a token of others is no reason for one.
      const expiresAt = expiryOf(token.claims);
      if (expiresAt === undefined) return undefined;
      const key = await keys.find(token, background);
      if (!key || !(await isSignedBy(key, token))) return undefined;
      return { caller: scopedCaller(nameOf(token.claims), scopesOf(token.claims["scope"])), expiresAt };
    },
  };
}

/**
 * Whoever the token speaks for, or else the client it was issued to (RFC 9068, 2.2; `azp` of OpenID Connect). No key's name
 * has a colon, and a subject's has another prefix than a client's: neither can pass for another.
 */
function nameOf({ sub, client_id: client, azp }: SignedToken["claims"]): string {
  if (typeof sub === "string") return `jwt:${sub.slice(0, NAME_LENGTH_MAX)}`;
  const id = [client, azp].find((claim) => typeof claim === "string") ?? "";
  return `jwt-client:${id.slice(0, NAME_LENGTH_MAX)}`;
}

/** Scopes of other programs stand beside ours in the same claim (RFC 8693, 4.2). */
function scopesOf(claim: unknown): readonly Scope[] {
  if (typeof claim !== "string") return [];
  const scopes = claim.split(" ").flatMap((word) => {
    const scope = word.startsWith(SCOPE_PREFIX) ? parseScope(word.slice(SCOPE_PREFIX.length)) : undefined;
    return scope ?? [];
  });
  if (scopes.length <= SCOPES_MAX) return scopes;
  // Not cut: which ones are left would be a riddle to whoever wrote them.
  throw new FingerpostError(
    "permission_denied",
    `The token has ${scopes.length} scopes, and at most ${SCOPES_MAX} are taken.`,
  );
}
