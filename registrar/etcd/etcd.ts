import type { Clock } from "../../kernel/clock.ts";
import { AGENTS_PREFIX } from "../../contract/etcd-keys.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";
import { createBreaker, type Circuit } from "./breaker.ts";
import { dropIfHanging } from "./doubted-token.ts";
import { isAuthDisabled } from "./errors.ts";
import { listPages } from "./list.ts";
import { createMembers } from "./members.ts";
import { fromCompare, fromOperation, toKeyValue, toTransactionResult } from "./messages.ts";
import { EtcdDenied, EtcdError, EtcdLoginRefused, type Etcd } from "./port.ts";
import { prefixEnd } from "./range.ts";
import { openRenewalStream } from "./renewals.ts";
import { attempt, call, type RequestCode, type Send, type Session } from "./session.ts";
import { rightNeeded } from "./setup/rights.ts";
import { createTokens, type Token } from "./token.ts";
import { connect, parseEndpoint, type TlsOptions } from "./transport.ts";
import { openWatch } from "./watch.ts";

const TIMEOUT_MS_DEFAULT = 5000;
/** An etcd with many Authenticates before ours needs longer for it than for anything else; asking again adds one. */
const AUTHENTICATE_TIMEOUT_MS = 15_000;

export interface EtcdOptions extends TlsOptions {
  /** `http://host:port` or `https://host:port`; at least one. Calls go to one of them at a time. */
  readonly endpoints: readonly string[];
  /** Without a user name and a password no token is asked for: etcd has authentication off, or takes certificates. */
  readonly username?: string;
  readonly password?: string;
  /** Its wall time must be the real one: gRPC's deadlines are wall times. */
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /**
   * Of one call, with the wait for a token. Sensible: 2,000 to 10,000. Lower, and an election in etcd (about 1 s) fails
   * calls; higher, and callers wait that long for a member that is gone.
   */
  readonly timeoutMs?: number;
  /** A call, or a stream, has ended. */
  readonly onRequest?: (method: string, code: RequestCode) => void;
  /** An Authenticate is sent. */
  readonly onAuthentication?: () => void;
}

/** Etcd, and how the way to it is. */
export interface EtcdClient extends Etcd {
  circuit(): Circuit;
  /** When the first call failed since the last answer, milliseconds since the epoch; undefined while etcd answers. */
  unansweredSinceMs(): number | undefined;
}

/** etcd over gRPC: one member, one connection and one token at a time. Throws `invalid_argument` for bad endpoints. */
export function createEtcd(options: EtcdOptions): EtcdClient {
  const { clock, random, log, username, password, timeoutMs = TIMEOUT_MS_DEFAULT, onAuthentication } = options;
  const { onRequest = () => {} } = options;
  const closing = new AbortController();
  // All of them now, and not when the first ones are out of reach.
  for (const endpoint of options.endpoints) parseEndpoint(endpoint);
  const members = createMembers({
    endpoints: options.endpoints,
    connect: (endpoint) => connect(endpoint, options),
    clock,
    random,
    log,
  });

  async function authenticate(name: string, secret: string): Promise<string | undefined> {
    onAuthentication?.();
    const deadlineMs = clock.now() + AUTHENTICATE_TIMEOUT_MS;
    const answer = await attempt(session, "Authenticate", undefined, deadlineMs, (transport, callOptions) =>
      transport.auth.authenticate({ name, password: secret }, callOptions),
    );
    if ("response" in answer) return answer.response.token;
    const { error } = answer.failure;
    if (isAuthDisabled(error)) return undefined;
    throw error.code === "unauthenticated" ? new EtcdLoginRefused(name, error) : error;
  }

  /** Answered by the member from its memory; every role of ours may read it, and there is nothing there. */
  async function touch(): Promise<void> {
    const range = { key: Buffer.from(AGENTS_PREFIX), serializable: true };
    await request("Range", (transport, callOptions) => transport.kv.range(range, callOptions));
  }

  const session: Session = {
    members,
    tokens:
      username && password
        ? createTokens({ authenticate: () => authenticate(username, password), touch, clock, random, log })
        : undefined,
    breaker: createBreaker({ clock, random, log }),
    clock,
    timeoutMs,
    onRequest,
    doubt,
    streams: new Set(),
    closing: closing.signal,
  };
  const underWay = new Set<Promise<unknown>>();
  let doubting: Promise<void> | undefined;

  /** One at a time: many calls time out together. */
  function doubt(token: Token): void {
    if (doubting || closing.signal.aborted) return;
    const asked = dropIfHanging(session, token).finally(() => {
      underWay.delete(asked);
      doubting = undefined;
    });
    doubting = asked;
    underWay.add(asked);
  }

  async function request<Response>(method: string, send: Send<Response>): Promise<Response> {
    const answer = call(session, method, send);
    underWay.add(answer);
    try {
      return await answer;
    } finally {
      underWay.delete(answer);
    }
  }

  /** The same, for a call that these keys or prefixes are asked of. */
  async function requestFor<Response>(
    keys: readonly string[],
    method: string,
    send: Send<Response>,
  ): Promise<Response> {
    try {
      return await request(method, send);
    } catch (error) {
      if (!(error instanceof EtcdError) || error.code !== "permission_denied") throw error;
      throw new EtcdDenied([...new Set(keys.map(rightNeeded))], error);
    }
  }

  return {
    async get(key, atRevision = 0) {
      const range = { key: Buffer.from(key), revision: atRevision };
      const { header, kvs } = await requestFor([key], "Range", (transport, call_) => transport.kv.range(range, call_));
      const kv = kvs[0];
      return { entry: kv && toKeyValue(kv), revision: Number(header.revision) };
    },
    list: (prefix, signal, from) =>
      listPages(
        (range) => requestFor([prefix], "Range", (transport, call_) => transport.kv.range(range, call_)),
        prefix,
        signal,
        from,
      ),
    async count(prefix, revision) {
      const range = { key: Buffer.from(prefix), range_end: prefixEnd(prefix), revision, count_only: true };
      const { count } = await requestFor([prefix], "Range", (transport, call_) => transport.kv.range(range, call_));
      return Number(count);
    },
    async transact(compares, success, failure = []) {
      const transaction = {
        compare: compares.map(fromCompare),
        success: success.map(fromOperation),
        failure: failure.map(fromOperation),
      };
      const keys = [...compares, ...success, ...failure].map(({ key }) => key);
      return toTransactionResult(
        await requestFor(keys, "Txn", (transport, call_) => transport.kv.txn(transaction, call_)),
      );
    },
    async grantLease(ttlSeconds) {
      const { ID, TTL } = await request("LeaseGrant", (transport, call_) =>
        transport.leaseClient.leaseGrant({ TTL: ttlSeconds }, call_),
      );
      return { lease: ID, ttlSeconds: Number(TTL) };
    },
    async revokeLease(lease) {
      try {
        await request("LeaseRevoke", (transport, call_) => transport.leaseClient.leaseRevoke({ ID: lease }, call_));
      } catch (error) {
        if (!(error instanceof EtcdError) || error.code !== "lease_not_found") throw error;
      }
    },
    async describeLease(lease) {
      try {
        const { TTL, grantedTTL, keys } = await request("LeaseTimeToLive", (transport, call_) =>
          transport.leaseClient.leaseTimeToLive({ ID: lease, keys: true }, call_),
        );
        // -1: it has ended.
        if (Number(TTL) < 0) return undefined;
        return { ttlSeconds: Number(grantedTTL), remainingSeconds: Number(TTL), keys: keys.map(String) };
      } catch (error) {
        if (error instanceof EtcdError && error.code === "lease_not_found") return undefined;
        throw error;
      }
    },
    watch: (prefix, startRevision, handlers) => openWatch(session, prefix, startRevision, handlers),
    openRenewals: (handlers) => openRenewalStream(session, handlers),
    circuit: () => session.breaker.circuit(),
    unansweredSinceMs: () => session.breaker.unansweredSinceMs(),
    async close() {
      closing.abort();
      session.tokens?.close();
      for (const stream of session.streams) stream.close();
      await Promise.allSettled(underWay);
      members.close();
    },
  };
}
