import { decodeHeader, verify } from "hono/utils/jwt/jwt";
import type { Clock } from "../../kernel/clock.ts";
import type { Background } from "../flight.ts";
import type { Caller } from "./caller.ts";
import { isAlgorithm, type KeyQuery } from "./jwk.ts";
import type { KeySet } from "./key-set.ts";
import { parseScope, scopedCaller, type Scope } from "./scopes.ts";

/** How far an issuer's clock may be ahead of ours where a token says from when it counts. Past its `exp` none is taken. */
const NOT_BEFORE_LEEWAY_MS = 30_000;
const SCOPE_PREFIX = "fingerpost:";
/** RFC 7519 and RFC 9068; the library takes the first, and none, unless it is told otherwise. */
const TYPES = ["JWT", "at+jwt"];

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
  /** Undefined for a token that is not valid. Throws `unavailable` while its issuer's keys cannot be read. */
  verify(token: string, background: Background): Promise<VerifiedToken | undefined>;
}

export interface TokenVerifierOptions extends Pick<TokenRule, "issuer" | "audience"> {
  readonly keys: KeySet;
  readonly clock: Pick<Clock, "now">;
}

/** The form of a JWT; what is not of it costs nothing more. */
export function looksLikeToken(text: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text);
}

/**
 * Verifies JWTs (RFC 7519) by the issuer's public keys. The library looks at the signature, the issuer, the audience and
 * the header; times are judged here, by the clock that is passed in: it reads the global one, takes tokens that never
 * expire, and refuses those of an issuer whose clock is a second ahead. Its errors hold the token, and are dropped.
 */
export function createTokenVerifier({ keys, clock, issuer, audience }: TokenVerifierOptions): TokenVerifier {
  return {
    async verify(token, background) {
      const header = readHeader(token);
      if (!header) return undefined;
      const key = await keys.find(header, background);
      if (!key) return undefined;
      let claims: Readonly<Record<string, unknown>>;
      try {
        claims = await verify(token, key.material, {
          alg: header.alg,
          iss: issuer,
          aud: audience,
          exp: false,
          nbf: false,
          iat: false,
          ...(header.typed ? { typ: TYPES } : {}),
        });
      } catch {
        return undefined;
      }
      const { exp, nbf, sub, scope } = claims;
      if (typeof exp !== "number" || !(clock.now() < exp * 1000)) return undefined;
      if (nbf !== undefined && !(typeof nbf === "number" && nbf * 1000 <= clock.now() + NOT_BEFORE_LEEWAY_MS)) {
        return undefined;
      }
      // No key's name has a colon: a subject cannot pass for one.
      const name = `jwt:${typeof sub === "string" ? sub : ""}`;
      return { caller: scopedCaller(name, scopesOf(scope)), expiresAt: exp * 1000 };
    },
  };
}

interface Header extends KeyQuery {
  readonly typed: boolean;
}

function readHeader(token: string): Header | undefined {
  let header: Readonly<Record<string, unknown>>;
  try {
    header = { ...decodeHeader(token) };
  } catch {
    return undefined;
  }
  const { alg, kid, typ } = header;
  if (!isAlgorithm(alg) || (kid !== undefined && typeof kid !== "string")) return undefined;
  return { alg, ...(kid === undefined ? {} : { kid }), typed: typ !== undefined };
}

/** Scopes of other programs stand beside ours in the same claim (RFC 8693, 4.2). */
function scopesOf(claim: unknown): readonly Scope[] {
  if (typeof claim !== "string") return [];
  return claim.split(" ").flatMap((word) => {
    const scope = word.startsWith(SCOPE_PREFIX) ? parseScope(word.slice(SCOPE_PREFIX.length)) : undefined;
    return scope ?? [];
  });
}
