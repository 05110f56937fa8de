import type { Clock } from "../../../kernel/clock.ts";
import { messageOf } from "../../../kernel/errors.ts";
import type { JournalFile } from "./files.ts";

/** What a disk may take for one write. Whoever waits for it longer is let go, and the file is given up. */
const WRITE_MS_MAX = 2000;

export interface GroupWriterOptions {
  readonly file: JournalFile;
  readonly clock: Clock;
  readonly onWritten: (bytes: number) => void;
  /** Called once at most; nothing is written any more. */
  readonly onFailure: (reason: string) => void;
}

/** Appends lines to a file, in groups: what comes while a write is under way goes into the next one. */
export interface GroupWriter {
  append(line: string): void;
  /** Resolves when what was appended so far is written, or never will be. */
  flushed(): Promise<void>;
  /** Starts no further write; resolves when the one under way has ended. */
  pause(): Promise<void>;
  /** Lets go of those who wait; resolves when the write under way has ended and the file is closed. */
  close(): Promise<void>;
}

interface Group {
  readonly lines: string[];
  readonly done: Promise<void>;
  readonly settle: () => void;
}

export function createGroupWriter({ file, clock, onWritten, onFailure }: GroupWriterOptions): GroupWriter {
  let waiting: Group | undefined;
  let writing: Group | undefined;
  let running: Promise<void> = Promise.resolve();
  let state: "open" | "paused" | "closed" = "open";

  function newGroup(): Group {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(WRITE_MS_MAX, () => fail(`no write has ended in ${WRITE_MS_MAX} ms`));
    const settle = () => {
      cancel();
      resolve();
    };
    return { lines: [], done: promise, settle };
  }

  async function run(): Promise<void> {
    while (waiting) {
      // Paused or closed while the one before was written.
      if (state !== "open") return;
      const group = waiting;
      waiting = undefined;
      writing = group;
      const text = group.lines.join("");
      try {
        await file.append(text);
        onWritten(Buffer.byteLength(text));
      } catch (error) {
        fail(messageOf(error));
      }
      writing = undefined;
      group.settle();
    }
  }

  function fail(reason: string): void {
    if (state === "closed") return;
    letGo();
    onFailure(reason);
  }

  function letGo(): void {
    state = "closed";
    waiting?.settle();
    writing?.settle();
    waiting = undefined;
  }

  return {
    append(line) {
      if (state === "closed") return;
      waiting ??= newGroup();
      waiting.lines.push(line);
      if (!writing && state === "open") running = run();
    },
    flushed: () => (waiting ?? writing)?.done ?? Promise.resolve(),
    async pause() {
      if (state === "open") state = "paused";
      await writing?.done;
    },
    async close() {
      letGo();
      await running;
      await file.close();
    },
  };
}
