/** Of an etcd whose tokens live for 300 s without use, as is its default; from here on it is learnt. */
const TOUCH_MS_FIRST = 120_000;
/** Etcd looks for expired tokens once a second, so shorter lives cannot be told apart, and would cost a call each. */
const TOUCH_MS_MIN = 1000;

/**
 * How long a token lives without use, which etcd (`--auth-token-ttl`) tells nobody. It is learnt from the tokens that
 * were refused: each time a token turns out to have lived shorter than thought, it is to be used twice as often.
 */
export interface IdleLife {
  /** After this long without use the token should be used. */
  readonly touchMs: () => number;
  readonly lastUsedMs: () => number;
  /** A new token is known to the member since about now. */
  issued(nowMs: number): void;
  /** A call that was sent at this time was let in. */
  used(sentAtMs: number): void;
  /** A call that was sent at this time was not. */
  refused(sentAtMs: number): void;
  /** The member was lost or left: a token it refuses next need not have expired, but may never have been known there. */
  interrupted(): void;
}

export function createIdleLife(): IdleLife {
  let touchMs = TOUCH_MS_FIRST;
  let lastUsedMs = -Infinity;
  /** The longest pause after which a token was still good. */
  let survivedMs = 0;
  let certain = false;

  return {
    touchMs: () => touchMs,
    lastUsedMs: () => lastUsedMs,
    issued(nowMs) {
      lastUsedMs = nowMs;
      certain = true;
    },
    used(sentAtMs) {
      if (certain) survivedMs = Math.max(survivedMs, sentAtMs - lastUsedMs);
      lastUsedMs = Math.max(lastUsedMs, sentAtMs);
      certain = true;
    },
    refused(sentAtMs) {
      if (!certain) return;
      const idleMs = sentAtMs - lastUsedMs;
      if (idleMs < TOUCH_MS_MIN) return;
      if (idleMs <= survivedMs) {
        // Others have lived for longer: somebody has changed a password, say. Only if it is seen again does it count.
        survivedMs = 0;
        return;
      }
      touchMs = Math.max(TOUCH_MS_MIN, Math.min(touchMs, idleMs) / 2);
    },
    interrupted() {
      certain = false;
    },
  };
}
