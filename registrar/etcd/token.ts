import { createBackoff } from "../../kernel/backoff.ts";
import { sleep, type Cancel, type Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { createIdleLife } from "./idle-life.ts";
import { EtcdError } from "./port.ts";
import { expiryOf } from "./token-expiry.ts";

/** A token refused sooner than this after it was issued counts as a failed Authenticate, and backs off. */
const TOKEN_AGE_MIN_MS = 1000;
/** After etcd refused the credentials: nothing changes until an operator does something. */
const REFUSAL_BACKOFF = { baseMs: 500, capMs: 30_000 };
/** After etcd was not reached or did not answer: it should be found again soon after its return. */
const OUTAGE_BACKOFF = { baseMs: 250, capMs: 4000 };
/**
 * Over this long the processes of a fleet spread the Authenticates with which they replace tokens that were lost
 * together. An etcd makes some 38 of them a second; a lease of 5 s has 3.3 s left when its renewal is refused.
 */
const SPREAD_MS_MAX = 1000;
/** A token that names its expiry is replaced after this part of its life, and up to REFRESH_JITTER more of it. */
const REFRESH_PART = 0.88;
const REFRESH_JITTER = 0.07;
/** Tokens that are not to live for so long are used until they are refused: our clock, or etcd's, may be wrong. */
const REFRESH_MS_MIN = 5000;
/** Timers take no more than 24 days. */
const REFRESH_MS_MAX = 20 * 86_400_000;

export interface Token {
  /** Undefined when etcd has authentication off. */
  readonly value: string | undefined;
  readonly issuedAtMs: number;
}

export interface TokensOptions {
  /** One Authenticate; undefined when etcd has authentication off. */
  readonly authenticate: () => Promise<string | undefined>;
  /** One cheap call that uses the token. What comes of it is told by `used` and `refused` like that of every call. */
  readonly touch: () => Promise<void>;
  /** Its wall time is compared with the expiry of tokens. */
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The process' one token: whoever needs it waits for the same Authenticate, and none is sent while one serves. */
export interface Tokens {
  /**
   * The token to use. Rejects with the EtcdError of the last Authenticate until its backoff has passed, so that a crowd
   * of calls never becomes a crowd of Authenticates.
   */
  current(): Promise<Token>;
  /** There is a newer token than this one. */
  isReplaced(token: Token): boolean;
  /** A call sent at `sentAtMs`, of the monotonic clock, was let in. */
  used(token: Token, sentAtMs: number): void;
  /** Etcd refused `token`. Said again, or of a token already replaced, it does nothing. */
  refused(token: Token, sentAtMs: number): void;
  /** The member was not reached, or another one is used now: it may not know the token, however young that is. */
  interrupted(): void;
  close(): void;
}

/**
 * `empty`: the next `current` past `notBeforeMs` authenticates; before it, fails with `error`, or waits if there is none.
 * `authenticating`: until the answer. `held`: until etcd refuses the token, or a `replacement` is there.
 */
type State =
  | { readonly type: "empty"; readonly notBeforeMs: number; readonly error: EtcdError | undefined }
  | { readonly type: "authenticating"; readonly answer: Promise<Token> }
  | { readonly type: "held"; readonly token: Token; readonly replacement: Promise<Token> | undefined };

export function createTokens({ authenticate, touch, clock, random, log }: TokensOptions): Tokens {
  const refusals = createBackoff({ ...REFUSAL_BACKOFF, random });
  const outages = createBackoff({ ...OUTAGE_BACKOFF, random });
  const idleLife = createIdleLife();
  const closing = new AbortController();
  let state: State = { type: "empty", notBeforeMs: -Infinity, error: undefined };
  let cancelUpkeep: Cancel = () => {};

  async function obtain(delayMs: number): Promise<Token> {
    if (delayMs > 0) await sleep(clock, delayMs, closing.signal);
    try {
      if (closing.signal.aborted) throw new EtcdError("unavailable", "The connection to etcd is closed.");
      const value = await authenticate();
      const token: Token = { value, issuedAtMs: clock.monotonic() };
      outages.reset();
      hold(token);
      return token;
    } catch (cause) {
      const error = cause instanceof EtcdError ? cause : new EtcdError("unavailable", messageOf(cause), cause);
      const retryMs = (error.code === "unavailable" ? outages : refusals).next();
      if (state.type === "held") {
        state = { ...state, replacement: undefined };
        plan(retryMs, replace);
      } else {
        state = { type: "empty", notBeforeMs: clock.monotonic() + retryMs, error };
      }
      log.warn({ code: error.code, retryInMs: Math.round(retryMs) }, `Authenticating to etcd failed: ${error.message}`);
      throw error;
    }
  }

  function hold(token: Token): void {
    state = { type: "held", token, replacement: undefined };
    idleLife.issued(token.issuedAtMs);
    if (token.value === undefined) return;
    const expiresAtMs = expiryOf(token.value);
    if (expiresAtMs === undefined) {
      keepInUse();
      return;
    }
    const refreshMs = (expiresAtMs - clock.now()) * (REFRESH_PART + random() * REFRESH_JITTER);
    if (refreshMs >= REFRESH_MS_MIN) plan(Math.min(REFRESH_MS_MAX, refreshMs), replace);
  }

  function plan(delayMs: number, run: () => void): void {
    cancelUpkeep();
    if (!closing.signal.aborted) cancelUpkeep = clock.after(delayMs, run);
  }

  /** Asks for the next token while this one serves. */
  function replace(): void {
    if (state.type !== "held") return;
    const replacement = obtain(0);
    state = { ...state, replacement };
    // It has been logged, and is tried again; who waits for it hears of it as well.
    replacement.catch(() => {});
  }

  /** Uses a token that nobody else uses for too long. */
  function keepInUse(): void {
    const restMs = idleLife.lastUsedMs() + idleLife.touchMs() - clock.monotonic();
    if (restMs > 0) {
      plan(restMs, keepInUse);
      return;
    }
    plan(idleLife.touchMs(), keepInUse);
    touch().catch((error: unknown) => log.debug({ error: messageOf(error) }, "The etcd token could not be used"));
  }

  return {
    current() {
      if (state.type === "held") return Promise.resolve(state.token);
      if (state.type === "authenticating") return state.answer;
      const waitMs = state.notBeforeMs - clock.monotonic();
      if (state.error !== undefined && waitMs > 0) return Promise.reject(state.error);
      const answer = obtain(waitMs);
      state = { type: "authenticating", answer };
      return answer;
    },
    isReplaced: (token) => state.type === "held" && state.token !== token,
    used(token, sentAtMs) {
      if (state.type === "held" && state.token === token) idleLife.used(sentAtMs);
    },
    refused(token, sentAtMs) {
      if (state.type !== "held" || state.token !== token) return;
      cancelUpkeep();
      idleLife.refused(sentAtMs);
      if (state.replacement) {
        state = { type: "authenticating", answer: state.replacement };
        return;
      }
      const nowMs = clock.monotonic();
      if (nowMs - token.issuedAtMs >= TOKEN_AGE_MIN_MS) {
        refusals.reset();
        state = { type: "empty", notBeforeMs: nowMs + random() * SPREAD_MS_MAX, error: undefined };
        return;
      }
      const delayMs = refusals.next();
      const error = new EtcdError("unauthenticated", "etcd refuses tokens that it has only just issued");
      state = { type: "empty", notBeforeMs: nowMs + delayMs, error };
      log.warn({ retryInMs: Math.round(delayMs) }, error.message);
    },
    interrupted: () => idleLife.interrupted(),
    close() {
      closing.abort();
      cancelUpkeep();
    },
  };
}
