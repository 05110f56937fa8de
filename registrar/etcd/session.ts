import type { CallOptions } from "@grpc/grpc-js";
import type { Clock } from "../../kernel/clock.ts";
import { DeadlineExceeded, within } from "../../kernel/deadline.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Breaker, Permit } from "./breaker.ts";
import { toFailure, type CallFailure, type CallStatus } from "./errors.ts";
import { createInterceptor } from "./interceptor.ts";
import type { Member, Members } from "./members.ts";
import { EtcdError, type EtcdErrorCode } from "./port.ts";
import type { Token, Tokens } from "./token.ts";
import type { Transport } from "./transport.ts";

/** How a call or stream ended, for the request counter. `not_sent`: the circuit was open. */
export type RequestCode = "ok" | "not_sent" | EtcdErrorCode;

/** What calls and streams have in common. */
export interface Session {
  readonly members: Members<Transport>;
  /** Undefined without credentials: calls carry no token. */
  readonly tokens: Tokens | undefined;
  /** Of calls. Streams, and `Authenticate`, are paced by those who need them. */
  readonly breaker: Breaker;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly onRequest: (method: string, code: RequestCode) => void;
  /** A call with this token timed out: finds out, behind, whether the token is to blame. */
  readonly doubt: (token: Token) => void;
  /** Those that are open or opening; each takes itself out when it ends. */
  readonly streams: Set<{ close(): void }>;
  /** Aborted when no call or stream is to begin any more. */
  readonly closing: AbortSignal;
}

export type Send<Response> = (transport: Transport, options: CallOptions) => Promise<Response>;

type Attempt<Response> = { readonly response: Response } | { readonly failure: CallFailure };

/**
 * One unary call, with the token and within the deadline. A call whose token is refused is sent a second time if there
 * is a newer token, and never a third: etcd looks at the token before it does anything, so this is safe for writes.
 */
export async function call<Response>(session: Session, method: string, send: Send<Response>): Promise<Response> {
  const { clock, timeoutMs, closing } = session;
  if (closing.aborted) throw new EtcdError("unavailable", "The connection to etcd is closed.");
  const permit = enter(session, method);
  const deadlineMs = clock.now() + timeoutMs;
  const first = await attemptWithToken(session, permit, method, deadlineMs, send);
  if ("response" in first) return first.response;
  if (!first.failure.tokenRefused || session.tokens === undefined) throw first.failure.error;
  const second = await attemptWithToken(session, permit, method, deadlineMs, send);
  if ("response" in second) return second.response;
  throw second.failure.error;
}

function enter({ breaker, onRequest }: Session, method: string): Permit {
  try {
    return breaker.enter();
  } catch (error) {
    onRequest(method, "not_sent");
    throw error;
  }
}

async function attemptWithToken<Response>(
  session: Session,
  permit: Permit,
  method: string,
  deadlineMs: number,
  send: Send<Response>,
): Promise<Attempt<Response>> {
  const { tokens, clock } = session;
  let token: Token | undefined;
  try {
    token = await tokenWithin(session, deadlineMs, method);
  } catch (error) {
    permit.withdrawn();
    throw error;
  }
  const sentAtMs = clock.monotonic();
  const result = await attempt(session, method, token, deadlineMs, send);
  if ("failure" in result && result.failure.error.code === "unavailable") {
    permit.failed(result.failure.error);
    if (result.failure.timedOut && token?.value !== undefined) session.doubt(token);
    return result;
  }
  permit.succeeded();
  if (token === undefined) return result;
  if ("failure" in result && result.failure.tokenRefused) tokens?.refused(token, sentAtMs);
  else tokens?.used(token, sentAtMs);
  return result;
}

/** One call with no second try; `Authenticate` itself goes through here, without a token. */
export async function attempt<Response>(
  session: Session,
  method: string,
  token: Token | undefined,
  deadlineMs: number,
  send: Send<Response>,
): Promise<Attempt<Response>> {
  const { members, onRequest } = session;
  const member = members.current();
  let status: CallStatus | undefined;
  const interceptor = createInterceptor({
    token: token?.value,
    requireLeader: false,
    onStatus: (ended) => (status = ended),
  });
  try {
    const response = await send(member.transport, { deadline: deadlineMs, interceptors: [interceptor] });
    members.succeeded(member);
    onRequest(method, "ok");
    return { response };
  } catch (cause) {
    const failure = failureOf(status, cause, method);
    report(session, member, failure);
    onRequest(method, failure.error.code);
    return { failure };
  }
}

/**
 * Tells the members how a call or stream to one of them failed. A refusal is an answer, and so a success: to move would
 * end the renewals and the watch, for a member that says the same.
 */
export function report({ members, tokens }: Session, member: Member<Transport>, failure: CallFailure): void {
  if (failure.answered) {
    members.succeeded(member);
    return;
  }
  members.failed(member, failure.timedOut ? "slow" : "unreachable");
  tokens?.interrupted();
}

/** What went wrong: by the status of the call, or by what was thrown when it never came to one. */
export function failureOf(status: CallStatus | undefined, cause: unknown, method: string): CallFailure {
  if (status !== undefined) return toFailure(status, method);
  const error = new EtcdError("unavailable", `etcd ${method} was not sent: ${messageOf(cause)}`, cause);
  return { error, tokenRefused: false, timedOut: false, answered: false };
}

/** Waits no longer than the call may take. The Authenticate that it waits for goes on for the others. */
async function tokenWithin(session: Session, deadlineMs: number, method: string): Promise<Token | undefined> {
  const { tokens, clock } = session;
  if (tokens === undefined) return undefined;
  try {
    return await within(clock, Math.max(0, deadlineMs - clock.now()), "Authenticate", tokens.current());
  } catch (cause) {
    const error = cause instanceof DeadlineExceeded ? new EtcdError("unavailable", cause.message, cause) : cause;
    session.onRequest(method, error instanceof EtcdError ? error.code : "unavailable");
    throw error;
  }
}
