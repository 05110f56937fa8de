import { createBackoff } from "../../kernel/backoff.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Random } from "../../kernel/random.ts";
import type { Log } from "../../node/log.ts";

/** Deadlines in a row after which a member is left. One alone may be a slow answer. */
const TIMEOUTS_MAX = 2;
/** Between two moves, so that a cluster without a leader is not run round in a circle. */
const MOVE_BACKOFF = { baseMs: 250, capMs: 10_000 };

/** One etcd member, and whatever is needed to talk to it. */
export interface Member<Transport> {
  readonly endpoint: string;
  readonly transport: Transport;
  /** Aborted when the process has moved to another member: streams to this one end. */
  readonly left: AbortSignal;
}

export interface MembersOptions<Transport extends { close(): void }> {
  /** At least one. */
  readonly endpoints: readonly string[];
  readonly connect: (endpoint: string) => Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * The member that this process talks to: one at a time, since a member keeps a simple token alive only while the token
 * is used there, and each connection costs the member memory.
 */
export interface Members<Transport> {
  current(): Member<Transport>;
  succeeded(member: Member<Transport>): void;
  /** Moves to the next endpoint: at once when the member was not reached, after some in a row when it was only slow. */
  failed(member: Member<Transport>, how: "unreachable" | "slow"): void;
  close(): void;
}

export function createMembers<Transport extends { close(): void }>(
  options: MembersOptions<Transport>,
): Members<Transport> {
  const { endpoints, connect, clock, random, log } = options;
  const backoff = createBackoff({ ...MOVE_BACKOFF, random });
  let index = Math.floor(random() * endpoints.length);
  let timeouts = 0;
  let stayUntilMs = -Infinity;
  let [member, leave] = join(index);

  function join(at: number): [Member<Transport>, () => void] {
    const endpoint = endpoints[at];
    if (endpoint === undefined) throw new RangeError("etcd needs at least one endpoint");
    const transport = connect(endpoint);
    const left = new AbortController();
    const end = () => {
      left.abort();
      transport.close();
    };
    return [{ endpoint, transport, left: left.signal }, end];
  }

  return {
    current: () => member,
    succeeded(of) {
      if (of !== member) return;
      timeouts = 0;
      backoff.reset();
    },
    failed(of, how) {
      // A crowd of calls fails together with its member; only the first of them moves.
      if (of !== member || endpoints.length === 1) return;
      if (how === "slow" && ++timeouts < TIMEOUTS_MAX) return;
      if (clock.monotonic() < stayUntilMs) return;
      const leaveOld = leave;
      index = (index + 1) % endpoints.length;
      timeouts = 0;
      stayUntilMs = clock.monotonic() + backoff.next();
      [member, leave] = join(index);
      log.warn({ from: of.endpoint, to: member.endpoint }, "Moving to another etcd member");
      leaveOld();
    },
    close: () => leave(),
  };
}
