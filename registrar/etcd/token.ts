import { messageOf } from "../../kernel/errors.ts";
import { createBackoff } from "../../kernel/backoff.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { EtcdError } from "./port.ts";

/** A token refused sooner than this after it was issued counts as a failed Authenticate, and backs off. */
const TOKEN_AGE_MIN_MS = 1000;
/** After etcd refused the credentials: nothing changes until an operator does something. */
const REFUSAL_BACKOFF = { baseMs: 500, capMs: 30_000 };
/** After etcd was not reached or did not answer: it should be found again soon after its return. */
const OUTAGE_BACKOFF = { baseMs: 250, capMs: 4000 };

export interface Token {
  /** Undefined when etcd has authentication off. */
  readonly value: string | undefined;
  readonly issuedAtMs: number;
}

export interface TokensOptions {
  /** One Authenticate; undefined when etcd has authentication off. */
  readonly authenticate: () => Promise<string | undefined>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The process' one token: whoever needs it waits for the same Authenticate, and none is sent while one is held. */
export interface Tokens {
  /**
   * The token to use. Rejects with the EtcdError of the last Authenticate until its backoff has passed, so that a crowd
   * of calls never becomes a crowd of Authenticates.
   */
  current(): Promise<Token>;
  /** Etcd refused `token`. Said again, or of a token already replaced, it does nothing. */
  refused(token: Token): void;
}

/**
 * `empty`: the next `current` past `notBeforeMs` authenticates; before it, fails with `error`. `authenticating`: until
 * the answer. `held`: until etcd refuses the token.
 */
type State =
  | { readonly type: "empty"; readonly notBeforeMs: number; readonly error: EtcdError | undefined }
  | { readonly type: "authenticating"; readonly answer: Promise<Token> }
  | { readonly type: "held"; readonly token: Token };

export function createTokens({ authenticate, clock, random, log }: TokensOptions): Tokens {
  const refusals = createBackoff({ ...REFUSAL_BACKOFF, random });
  const outages = createBackoff({ ...OUTAGE_BACKOFF, random });
  let state: State = { type: "empty", notBeforeMs: -Infinity, error: undefined };

  async function obtain(): Promise<Token> {
    try {
      const value = await authenticate();
      const token: Token = { value, issuedAtMs: clock.monotonic() };
      outages.reset();
      state = { type: "held", token };
      return token;
    } catch (cause) {
      const error = cause instanceof EtcdError ? cause : new EtcdError("unavailable", messageOf(cause), cause);
      const delayMs = (error.code === "unavailable" ? outages : refusals).next();
      state = { type: "empty", notBeforeMs: clock.monotonic() + delayMs, error };
      log.warn({ code: error.code, retryInMs: Math.round(delayMs) }, `Authenticating to etcd failed: ${error.message}`);
      throw error;
    }
  }

  return {
    current() {
      if (state.type === "held") return Promise.resolve(state.token);
      if (state.type === "authenticating") return state.answer;
      if (state.error !== undefined && clock.monotonic() < state.notBeforeMs) return Promise.reject(state.error);
      const answer = obtain();
      state = { type: "authenticating", answer };
      return answer;
    },
    refused(token) {
      if (state.type !== "held" || state.token !== token) return;
      const nowMs = clock.monotonic();
      if (nowMs - token.issuedAtMs >= TOKEN_AGE_MIN_MS) {
        refusals.reset();
        state = { type: "empty", notBeforeMs: -Infinity, error: undefined };
        return;
      }
      const delayMs = refusals.next();
      const error = new EtcdError("unauthenticated", "etcd refuses tokens that it has only just issued");
      state = { type: "empty", notBeforeMs: nowMs + delayMs, error };
      log.warn({ retryInMs: Math.round(delayMs) }, error.message);
    },
  };
}
