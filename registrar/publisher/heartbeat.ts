import * as v from "valibot";
import { ELECTION_KEY, PUBLISHER_KEY } from "../../contract/etcd-keys.ts";
import { nameSchema } from "../../contract/names.ts";
import { sleep, type Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import type { Log } from "../../node/log.ts";
import type { Etcd } from "../etcd/port.ts";

/**
 * How long a heartbeat may take through etcd and our own watch before the head is committed without it. A part of
 * the interval; higher only makes the heads of a dead etcd later.
 */
const CONFIRMATION_WAIT_MS = 500;
/** Of all names in a beat: etcd keeps thousands of beats in memory. Names past it are left out. */
const NAMESPACES_CHARS_MAX = 1024;

/** What PUBLISHER_KEY holds. */
export interface LeaderBeat {
  /** Of one life of one process. */
  readonly publisher: string;
  /** Milliseconds since the epoch, by the leader's clock. */
  readonly sentAt: number;
  /** Every namespace was in Redis, whole, when this was sent. */
  readonly published: boolean;
  /**
   * What the leader publishes, as far as it fits: etcd no longer tells the next leader of a namespace whose last
   * registration went meanwhile, and its services have to be ended in Redis all the same.
   */
  readonly namespaces: readonly string[];
}

export interface HeartbeatOptions {
  readonly etcd: Pick<Etcd, "transact">;
  readonly publisher: string;
  /** The create revision of our election key. */
  readonly termRevision: number;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** The last revision that our watch has delivered. */
  readonly revision: () => number;
  readonly isPublished: () => boolean;
  /** Those that matter most first: the last may find no place. */
  readonly namespaces: () => Iterable<string>;
  /** Once an interval: the head is to be committed. */
  readonly onBeat: () => void;
  /** The election key is not ours any more. */
  readonly onDeposed: () => void;
  /** etcd's revision went back: it was restored from a backup. */
  readonly onReverted: () => void;
}

export interface Heartbeat {
  /** A beat has come through the watch. */
  seen(beat: LeaderBeat): void;
  /** Beats until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
  /**
   * Beats out of turn, and resolves once that has come through the watch: everything etcd had answered before has come
   * through as well. Never settles while etcd or the watch is away.
   */
  prove(): Promise<void>;
}

/**
 * Writes PUBLISHER_KEY at intervals, only while the term is ours. The head is committed as soon as the beat has come
 * back through our own watch, so that it tells of a watch that is current now, and without it when it does not.
 */
export function createHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { etcd, publisher, termRevision, intervalMs, clock, log, revision, isPublished } = options;
  let confirm: ((sentAt: number) => void) | undefined;
  let proofs: { readonly sentAt: number; readonly resolve: () => void }[] = [];
  let writing: Promise<void> | undefined;
  let failing = false;
  let sentAtLast = 0;

  async function write(sentAt: number): Promise<void> {
    sentAtLast = sentAt;
    const revisionBefore = revision();
    const namespaces = fitting(options.namespaces());
    const beat: LeaderBeat = { publisher, sentAt, published: isPublished(), namespaces };
    try {
      const result = await etcd.transact(
        [{ key: ELECTION_KEY, target: "createRevision", equals: termRevision }],
        [{ type: "put", key: PUBLISHER_KEY, value: JSON.stringify(beat) }],
      );
      // A write is above all that the watch had delivered before it, unless etcd has forgotten some of that.
      if (result.revision < revisionBefore || (result.succeeded && result.revision === revisionBefore)) {
        options.onReverted();
      } else if (!result.succeeded) {
        options.onDeposed();
      }
      failing = false;
    } catch (error) {
      // The heads go on and say how old the last confirmation is; an outage is told once.
      if (!failing) log.warn(`The heartbeat does not reach etcd: ${messageOf(error)}`);
      failing = true;
    }
  }

  /** One at a time: a stalled etcd does not find a heap of beats when it goes on. */
  function begin(sentAt: number): Promise<void> {
    writing = write(sentAt).finally(() => (writing = undefined));
    return writing;
  }

  return {
    seen({ sentAt }) {
      confirm?.(sentAt);
      for (const proof of proofs) if (proof.sentAt <= sentAt) proof.resolve();
      proofs = proofs.filter((proof) => proof.sentAt > sentAt);
    },
    async prove() {
      // After the beat under way: one that was sent a moment ago must not stand for this one.
      await writing;
      const sentAt = Math.max(clock.now(), sentAtLast + 1);
      const seen = new Promise<void>((resolve) => proofs.push({ sentAt, resolve }));
      await begin(sentAt);
      await seen;
    },
    async run(signal) {
      while (!signal.aborted) {
        const startedAtMs = clock.monotonic();
        const sentAt = clock.now();
        const waiting = new AbortController();
        confirm = (confirmed) => {
          if (confirmed >= sentAt) waiting.abort();
        };
        if (writing === undefined) void begin(sentAt);
        await sleep(clock, Math.min(CONFIRMATION_WAIT_MS, intervalMs / 2), AbortSignal.any([signal, waiting.signal]));
        if (signal.aborted) break;
        options.onBeat();
        await sleep(clock, Math.max(0, startedAtMs + intervalMs - clock.monotonic()), signal);
      }
      confirm = undefined;
      await writing;
    },
  };
}

function fitting(names: Iterable<string>): string[] {
  const fit: string[] = [];
  let chars = 0;
  for (const name of names) {
    chars += name.length;
    if (chars > NAMESPACES_CHARS_MAX) break;
    fit.push(name);
  }
  return fit;
}

const beatSchema = v.object({
  publisher: v.string(),
  sentAt: v.pipe(v.number(), v.safeInteger()),
  published: v.boolean(),
  namespaces: v.array(nameSchema),
});

/** Reads the value of PUBLISHER_KEY; undefined when it is not one. */
export function decodeLeaderBeat(value: string): LeaderBeat | undefined {
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch {
    return undefined;
  }
  const parsed = v.safeParse(beatSchema, json);
  return parsed.success ? parsed.output : undefined;
}
