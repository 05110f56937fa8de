import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../../kernel/random.ts";

/** What a line is like, each way; what is left out is as if there were nothing between. */
export interface LineShape {
  /** Each chunk arrives this much later, and up to `jitterMs` more: never before the one ahead of it. */
  readonly latencyMs?: number;
  readonly jitterMs?: number;
  /**
   * Of packets, from 0 to 1. A connection never shows a lost packet: it shows that nothing arrives until it was sent
   * again, and that all behind it waits as well. So that is what is made here.
   */
  readonly loss?: number;
  readonly bytesPerSecond?: number;
  /** Of jitter and loss. */
  readonly random: Random;
}

/** What a segment holds on Ethernet: a chunk is lost in as many parts as it would be sent in. */
const SEGMENT_BYTES = 1460;
/** Linux' least time until it sends again, which doubles with each loss of the same segment. */
const RESEND_MS_MIN = 200;
/** A segment lost more often would rather be called a black hole. */
const RESENDS_MAX = 4;

/** When chunks arrive that are sent over a line of this shape, by a monotonic clock. */
export interface LineTimes {
  arrivalMs(nowMs: number, bytes: number, shape: LineShape | undefined): number;
}

/** For one direction of one connection. */
export function createLineTimes(): LineTimes {
  let lastMs = 0;
  /** Until when the bytes ahead take the line. */
  let busyUntilMs = 0;
  return {
    arrivalMs(nowMs, bytes, shape) {
      if (!shape) return (lastMs = Math.max(lastMs, nowMs));
      const { latencyMs = 0, jitterMs = 0, loss = 0, bytesPerSecond, random } = shape;
      let stallMs = 0;
      for (let segments = Math.ceil(bytes / SEGMENT_BYTES); segments > 0; segments--) {
        for (let resends = 0; resends < RESENDS_MAX && random() < loss; resends++) {
          stallMs += RESEND_MS_MIN * 2 ** resends;
        }
      }
      busyUntilMs = Math.max(busyUntilMs, nowMs);
      if (bytesPerSecond !== undefined) busyUntilMs += (bytes / bytesPerSecond) * 1000;
      return (lastMs = Math.max(lastMs, busyUntilMs + latencyMs + random() * jitterMs + stallMs));
    },
  };
}

export interface FlowOptions {
  readonly from: Socket;
  readonly to: Socket;
  readonly shape: () => LineShape | undefined;
  /** Told of each chunk before it is passed on: how much of it may pass. The connection is reset after less than all. */
  readonly admit: (bytes: number) => number;
  /** The connection ends here, in the middle of what was being said. */
  readonly cut: () => void;
}

/**
 * Passes on what comes from one socket to the other, in its order, and its end after that. What it gives resolves when
 * all that has come so far was passed on.
 */
export function startFlow({ from, to, shape, admit, cut }: FlowOptions): () => Promise<void> {
  const times = createLineTimes();
  // In a chain, so that a chunk never overtakes the one before it.
  let sent = Promise.resolve();
  const pass = (chunk: Buffer) => {
    if (!to.writable) return;
    const bytes = admit(chunk.byteLength);
    if (bytes === chunk.byteLength) to.write(chunk);
    else to.write(chunk.subarray(0, bytes), cut);
  };
  from.on("data", (chunk: Buffer) => {
    const dueMs = times.arrivalMs(performance.now(), chunk.byteLength, shape());
    sent = sent.then(async () => {
      const waitMs = dueMs - performance.now();
      if (waitMs > 0) await pause(waitMs);
      pass(chunk);
    });
  });
  from.on("end", () => void sent.then(() => to.end()));
  return () => sent;
}
