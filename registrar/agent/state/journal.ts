import { createBackoff } from "../../../kernel/backoff.ts";
import { sleep, type Clock } from "../../../kernel/clock.ts";
import { within } from "../../../kernel/deadline.ts";
import { messageOf } from "../../../kernel/errors.ts";
import type { Random } from "../../../kernel/random.ts";
import type { Log } from "../../../node/log.ts";
import type { JournalFile, Standing, StateFiles } from "./files.ts";
import { createGroupWriter, type GroupWriter } from "./group-writer.ts";
import { encodeRecord, type StateRecord } from "./records.ts";

/** What is appended before the journal is written anew, or as much as it had then: it stays below twice what lives. */
const GROWTH_BYTES_MIN = 1024 * 1024;
/** Of one write of a new journal: few writes, and none that holds all of it in memory. */
const CHUNK_CHARACTERS = 256 * 1024;
/** How often, at most, the journal is looked for under its name. */
const LOOK_MS = 1000;
/** Between tries to write it again, each of which writes all of it. */
const RETRY = { baseMs: 1000, capMs: 30_000 };

/** What a disk that hangs may add to the end of this process. */
const CLOSE_MS_MAX = 3000;

/** How well the journal says what is. */
export type JournalState =
  | { readonly type: "whole" }
  /** It lacks what came since it could not be written. It is written anew, with backoff, until that succeeds. */
  | { readonly type: "behind"; readonly reason: string }
  /** Another process has put its own in its place. This one writes none any more. */
  | { readonly type: "replaced" };

export interface Journal {
  /** Takes a record; the write follows. It never fails: a journal that cannot be written is `behind`, and is told. */
  append(record: StateRecord): void;
  /** Resolves when what was appended so far is written, or when it is known that it will not be. */
  flushed(): Promise<void>;
  /**
   * Writes the journal from what `live` gives, and appends to it from then on; what was appended before goes nowhere.
   * Resolves with the first try, whether it succeeded or not.
   */
  open(live: () => Iterable<StateRecord>): Promise<void>;
  state(): JournalState;
  /** Writes what is still to be written, and lets go of the file. */
  close(): Promise<void>;
}

export interface JournalOptions {
  readonly files: StateFiles;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A file of records that is appended to, and written anew when it has grown: the last record about a thing holds. */
export function createJournal({ files, clock, random, log }: JournalOptions): Journal {
  const stop = new AbortController();
  const backoff = createBackoff({ ...RETRY, random });
  let live: () => Iterable<StateRecord> = () => [];
  let state: JournalState = { type: "behind", reason: "it has not been written yet" };
  /** While it is whole. */
  let writer: GroupWriter | undefined;
  /** Of what this process has written, or at first of what was there before. */
  let standing = (): Promise<Standing> => Promise.resolve("ours");
  /** While it is written anew: what is appended in the meantime, which the new one is to end with. */
  let meanwhile: string[] | undefined;
  let work: Promise<void> = Promise.resolve();
  let working = false;
  let closing: Promise<void> = Promise.resolve();
  let bytes = 0;
  let bytesAnew = 0;
  let lookedAtMs = clock.monotonic();

  function onWritten(count: number): void {
    bytes += count;
    const grown = bytes - bytesAnew > Math.max(GROWTH_BYTES_MIN, bytesAnew);
    if (working || (!grown && clock.monotonic() < lookedAtMs + LOOK_MS)) return;
    lookedAtMs = clock.monotonic();
    begin(async () => {
      const where = await standing();
      if (where === "replaced") giveUp();
      // What is appended to a file that no name leads to is lost.
      if (where === "gone") throw new Error("the journal was removed");
      if (grown && state.type === "whole") await writeAnew();
    });
  }

  function begin(task: () => Promise<void>): void {
    working = true;
    work = task()
      .catch((error: unknown) => fallBehind(messageOf(error)))
      .finally(() => {
        working = false;
        if (state.type === "behind" && !stop.signal.aborted) begin(retry);
      });
  }

  function fallBehind(reason: string): void {
    if (state.type === "replaced") return;
    // Once for each outage.
    if (state.type === "whole") log.error({ reason }, "state is not written; registrations go on without it");
    state = { type: "behind", reason };
    letGo(writer);
    if (!working) begin(retry);
  }

  function letGo(former: GroupWriter | undefined): void {
    if (former === writer) writer = undefined;
    if (!former) return;
    const closed = former.close().catch((error: unknown) => {
      log.debug({ error: messageOf(error) }, "a former journal did not close");
    });
    closing = Promise.all([closing, closed]).then(() => undefined);
  }

  async function retry(): Promise<void> {
    // A disk that hangs is not asked again before it has answered.
    await closing;
    try {
      if ((await standing()) === "ours") await files.markBehind();
    } catch (error) {
      log.debug({ error: messageOf(error) }, "the journal could not be marked as behind");
    }
    await sleep(clock, backoff.next(), stop.signal);
    if (stop.signal.aborted || state.type === "replaced") return;
    await writeAnew();
    backoff.reset();
    log.info("state is written again");
  }

  async function writeAnew(): Promise<void> {
    const lines: string[] = [];
    meanwhile = lines;
    const file = await files.create();
    try {
      await fill(file, lines);
      // It is another process' by now: then this one has stopped.
      if (state.type === "replaced") throw new Error("the journal was replaced");
      await files.install(file);
    } catch (error) {
      await file.close();
      throw error;
    } finally {
      meanwhile = undefined;
    }
    const former = writer;
    const next = createGroupWriter({ file, clock, onWritten, onFailure: fallBehind });
    for (const line of lines) next.append(line);
    writer = next;
    state = { type: "whole" };
    standing = () => files.standing(file);
    // Whoever waits for lines that the former had not written yet waits for the same lines here.
    void next.flushed().then(() => letGo(former));
  }

  async function fill(file: JournalFile, lines: string[]): Promise<void> {
    let text = "";
    let written = 0;
    const flush = async () => {
      written += Buffer.byteLength(text);
      await file.append(text);
      text = "";
    };
    // What changes while this goes on comes again in `lines`, and the last record holds.
    for (const record of live()) {
      text += encodeRecord(record);
      if (text.length >= CHUNK_CHARACTERS) await flush();
    }
    await flush();
    // Before the rename: else a machine that stops could find the name with nothing behind it.
    await file.sync();
    await writer?.pause();
    text = lines.splice(0).join("");
    await flush();
    if ((await standing()) === "replaced") giveUp();
    bytes = bytesAnew = written;
  }

  function giveUp(): void {
    state = { type: "replaced" };
    letGo(writer);
    log.error("another registrar has taken over the state directory; this one keeps no state any more");
  }

  return {
    append(record) {
      if (!writer && !meanwhile) return;
      const line = encodeRecord(record);
      meanwhile?.push(line);
      writer?.append(line);
    },

    flushed: () => writer?.flushed() ?? Promise.resolve(),

    async open(source) {
      live = source;
      begin(writeAnew);
      await work;
    },

    state: () => state,

    async close() {
      stop.abort();
      const ended = async () => {
        await work;
        await writer?.flushed();
        letGo(writer);
        await closing;
      };
      await within(clock, CLOSE_MS_MAX, "closing the journal", ended());
    },
  };
}
