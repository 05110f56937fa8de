import type { IWatchRequest, IWatchResponse } from "etcd3";
import { toWatchEvent } from "./messages.ts";
import { EtcdError, type WatchEvent, type WatchHandlers } from "./port.ts";
import { prefixEnd } from "./range.ts";
import type { Session } from "./session.ts";
import { openStream } from "./stream.ts";

const METHOD = "Watch";

/**
 * One watch on a stream of its own. Progress notifications are not asked for: what they say of the revision cannot be
 * trusted as a point to resume from (etcd-io/etcd#15220), and a dead connection shows by gRPC's pings.
 */
export function openWatch(
  session: Session,
  prefix: string,
  startRevision: number,
  handlers: WatchHandlers,
): () => void {
  let fragments: WatchEvent[] = [];

  const stream = openStream<IWatchRequest, IWatchResponse>(session, {
    method: METHOD,
    open: (transport, options) => transport.watchClient.watch(options),
    onMessage(response) {
      if (response.canceled) {
        stop();
        handlers.onEnd(endOf(response));
        return;
      }
      if (response.created) {
        cancelDeadline();
        handlers.onCreated();
      }
      if (response.events.length > 0) fragments.push(...response.events.map(toWatchEvent));
      // The parts of one answer follow each other; a revision may be cut between two of them.
      if (response.fragment || fragments.length === 0) return;
      const events = fragments;
      fragments = [];
      handlers.onEvents(events);
    },
    onEnd(error) {
      cancelDeadline();
      handlers.onEnd({ error });
    },
  });
  const cancelDeadline = session.clock.after(session.timeoutMs, () => {
    stream.giveUp(new EtcdError("unavailable", `etcd ${METHOD}: not created in ${session.timeoutMs} ms`));
  });
  const stop = () => {
    cancelDeadline();
    stream.close();
  };

  stream.write({
    create_request: {
      key: Buffer.from(prefix),
      range_end: prefixEnd(prefix),
      start_revision: startRevision,
      prev_kv: true,
      fragment: true,
    },
  });
  return stop;
}

function endOf(response: IWatchResponse): Parameters<WatchHandlers["onEnd"]>[0] {
  const compactRevision = Number(response.compact_revision);
  if (compactRevision > 0) return { compactRevision };
  const reason = response.cancel_reason;
  // Up to 3.5.27 an expired token is also called a denied permission here, so this alone condemns no token: the
  // next unary call finds out.
  const denied = /permission ?denied/i.test(reason);
  const refused = /auth token|auth store|user name/.test(reason);
  const code = refused ? "unauthenticated" : denied ? "permission_denied" : "unavailable";
  return { error: new EtcdError(code, `etcd ${METHOD}: ${reason || "cancelled by the server"}`) };
}
