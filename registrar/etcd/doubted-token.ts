import type { CallOptions } from "@grpc/grpc-js";
import { attempt, type Session } from "./session.ts";
import type { Token } from "./token.ts";
import type { Transport } from "./transport.ts";

/** At most, for both calls. Shorter, and a slow etcd looks like one that hangs; longer only makes the discovery later. */
const TIMEOUT_MS_MAX = 2000;
/** Needs no right of its own: where we may not read it, the refusal is an answer as well. */
const KEY = Buffer.from("/fingerpost/_cluster");

/**
 * Drops a token on which etcd hangs. A simple token carries the raft index at which it was issued, and etcd holds every
 * call with it back until it has applied that index: after a restore from a backup, whose log begins anew, that is for
 * ever, without a refusal. So after a call that timed out two reads go out together, one with the token and one without.
 * Only where the one without is answered, by a refusal, and the other is not, the token is at fault: a slow etcd, or a
 * dead line, holds both back and costs no Authenticate.
 */
export async function dropIfHanging(session: Session, token: Token): Promise<void> {
  const deadlineMs = session.clock.now() + Math.min(session.timeoutMs, TIMEOUT_MS_MAX);
  const read = (transport: Transport, options: CallOptions) => transport.kv.range({ key: KEY }, options);
  // The call that timed out has told of the member; with these two it would be left for one slow answer.
  const asking = { ...session, members: { ...session.members, failed: () => {} } };
  const [withToken, without] = await Promise.all([
    attempt(asking, "Range", token, deadlineMs, read),
    attempt(asking, "Range", undefined, deadlineMs, read),
  ]);
  const hangs = "failure" in withToken && withToken.failure.timedOut;
  if (hangs && "failure" in without && without.failure.tokenRefused) {
    session.tokens?.refused(token, session.clock.monotonic());
  }
}
