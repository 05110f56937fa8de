import { messageOf } from "../../../kernel/errors.ts";
import { applyRecord, decodeRecord, emptyState, isIntact, sentinelRun, type Stored } from "./records.ts";

/** A registration of 4 KiB with every character escaped, and its names, is less than half of this. */
const LINE_BYTES_MAX = 32 * 1024;
/** A few damaged blocks of a disk have fewer; what has more is no journal, and is not worth the rest of a long read. */
const BAD_LINES_MAX = 10_000;
const LINE_END = 0x0a;

export type Damage =
  /** The last line has no end: its process, or its machine, stopped while it was written. */
  | { readonly type: "torn"; readonly bytes: number }
  /** The first line that is not as it was written, or not of this version, and how many are not. */
  | { readonly type: "corrupt"; readonly line: number; readonly reason: string; readonly lines: number };

type Corruption = Extract<Damage, { readonly type: "corrupt" }>;

/**
 * What a journal says, and its damage. Each line has its own checksum and stands for itself, so what follows a damaged
 * one is read. The reading ends at a line that is whole and not understood: another version wrote it.
 */
export async function readJournal(
  chunks: AsyncIterable<Buffer>,
): Promise<{ readonly stored: Stored; readonly damage: Damage | undefined }> {
  const stored = emptyState();
  let rest: Buffer = Buffer.alloc(0);
  let line = 1;
  let overlong = false;
  let damage: Corruption | undefined;

  function note(reason: string): void {
    damage = damage ? { ...damage, lines: damage.lines + 1 } : corrupt(line, reason);
    if (damage.lines >= BAD_LINES_MAX) throw new Error("too much of it is damaged");
  }

  function take(bytes: Buffer): void {
    if (!isIntact(bytes)) return note("its checksum is wrong");
    const record = decodeRecord(bytes);
    if (line === 1 && record.type !== "agent") throw new Error("the agent's name does not come first");
    applyRecord(stored, record);
  }

  try {
    for await (const chunk of chunks) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let start = 0;
      for (let end = bytes.indexOf(LINE_END); end !== -1; end = bytes.indexOf(LINE_END, start)) {
        // The end of one that was noted already.
        if (!overlong) take(bytes.subarray(start, end));
        overlong = false;
        line += 1;
        start = end + 1;
      }
      rest = bytes.subarray(start);
      if (rest.length > LINE_BYTES_MAX || overlong) {
        if (!overlong) note("it does not end");
        overlong = true;
        rest = Buffer.alloc(0);
      }
    }
  } catch (error) {
    return { stored, damage: damage ?? corrupt(line, messageOf(error)) };
  }
  stored.agent ??= nameIn(stored);
  if (damage || rest.length === 0) return { stored, damage };
  return { stored, damage: { type: "torn", bytes: rest.length } };
}

/** Where the first line is damaged: its leases have been made with the name as well, and are found by it. */
function nameIn({ leases }: Stored): string | undefined {
  for (const { sentinels } of leases.values()) {
    for (const sentinel of sentinels) {
      const run = sentinelRun(sentinel);
      if (run) return run.agent;
    }
  }
  return undefined;
}

function corrupt(line: number, reason: string): Corruption {
  return { type: "corrupt", line, reason, lines: 1 };
}
