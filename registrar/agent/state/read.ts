import { messageOf } from "../../../kernel/errors.ts";
import { applyRecord, decodeRecord, emptyState, type Stored } from "./records.ts";

/** A registration of 4 KiB with every character escaped, and its names, is less than half of this. */
const LINE_BYTES_MAX = 32 * 1024;
const LINE_END = 0x0a;

export type Damage =
  /** The last line has no end: its process, or its machine, stopped while it was written. */
  | { readonly type: "torn"; readonly bytes: number }
  /** A line that is not as it was written. What follows it is not read. */
  | { readonly type: "corrupt"; readonly line: number; readonly reason: string };

/** What a journal says up to its end or its first damage, and the damage. */
export async function readJournal(
  chunks: AsyncIterable<Buffer>,
): Promise<{ readonly stored: Stored; readonly damage: Damage | undefined }> {
  const stored = emptyState();
  let rest: Buffer = Buffer.alloc(0);
  let line = 1;
  try {
    for await (const chunk of chunks) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let start = 0;
      for (let end = bytes.indexOf(LINE_END); end !== -1; end = bytes.indexOf(LINE_END, start)) {
        applyRecord(stored, decodeRecord(bytes.subarray(start, end)));
        line += 1;
        start = end + 1;
      }
      rest = bytes.subarray(start);
      if (rest.length > LINE_BYTES_MAX) throw new Error("it does not end");
    }
  } catch (error) {
    return { stored, damage: { type: "corrupt", line, reason: messageOf(error) } };
  }
  return { stored, damage: rest.length > 0 ? { type: "torn", bytes: rest.length } : undefined };
}
