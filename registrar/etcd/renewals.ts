import type { ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from "etcd3";
import type { RenewalHandlers, RenewalStream } from "./port.ts";
import type { Session } from "./session.ts";
import { openStream } from "./stream.ts";

/**
 * A LeaseKeepAlive stream, which the server answers in the order of the renewals. Etcd 3.4.42, 3.5.28 and later look at
 * the token of the stream with each renewal, so that once the process has a newer token the next renewal goes over a
 * stream that carries it: after the answers to those sent before, whose order tells whose answer is missing.
 */
export function openRenewalStream(session: Session, handlers: RenewalHandlers): RenewalStream {
  let stream = open();
  let unanswered = 0;
  /** Until the last answer over a stream with an old token. No more than its user leaves unanswered. */
  let waiting: string[] = [];
  let closed = false;

  function open() {
    return openStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>(session, {
      method: "LeaseKeepAlive",
      open: (transport, options) => transport.leaseClient.leaseKeepAlive(options),
      onMessage({ ID, TTL }) {
        unanswered--;
        handlers.onRenewal({ lease: ID, ttlSeconds: Math.max(0, Number(TTL)) });
        if (unanswered === 0 && waiting.length > 0 && !closed) send(waiting.splice(0));
      },
      onEnd: (error) => handlers.onEnd(error),
    });
  }

  function send(leases: readonly string[]): void {
    if (stream.hasOldToken()) {
      if (unanswered > 0) {
        waiting = waiting.concat(leases);
        return;
      }
      stream.close();
      stream = open();
    }
    unanswered += leases.length;
    for (const lease of leases) stream.write({ ID: lease });
  }

  return {
    renew: (lease) => send([lease]),
    close() {
      closed = true;
      stream.close();
    },
  };
}
