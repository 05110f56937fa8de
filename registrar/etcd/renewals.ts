import type { ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from "etcd3";
import type { RenewalHandlers, RenewalStream } from "./port.ts";
import type { Session } from "./session.ts";
import { openStream } from "./stream.ts";

/** One LeaseKeepAlive stream, which the server answers in the order of the renewals. */
export function openRenewalStream(session: Session, handlers: RenewalHandlers): RenewalStream {
  const stream = openStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>(session, {
    method: "LeaseKeepAlive",
    open: (transport, options) => transport.leaseClient.leaseKeepAlive(options),
    onMessage: ({ ID, TTL }) => handlers.onRenewal({ lease: ID, ttlSeconds: Math.max(0, Number(TTL)) }),
    onEnd: (error) => handlers.onEnd(error),
  });
  return {
    renew: (lease) => stream.write({ ID: lease }),
    close: () => stream.close(),
  };
}
