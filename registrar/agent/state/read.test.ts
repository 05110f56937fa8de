import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readJournal } from "./read.ts";
import { agentRecord, applyRecord, emptyState, encodeRecord, type StateRecord, type Stored } from "./records.ts";

const instance = (name: string, value: string): StateRecord => ({
  type: "instance",
  namespace: "default",
  service: "web",
  instance: name,
  liveness: { type: "heartbeat", ttlSeconds: 30 },
  source: "api",
  value,
});
const records: readonly StateRecord[] = [
  agentRecord("host-7070", false),
  {
    type: "lease",
    id: "7587862094993451009",
    namespace: "default",
    ttlSeconds: 30,
    sentinels: ['{"agent":"host-7070"}'],
  },
  instance("a", '{"id":"a","tags":["é\\n"]}'),
  instance("b", '{"id":"b"}'),
  instance("a", '{"id":"a","weight":5}'),
  { type: "instance-gone", namespace: "default", service: "web", instance: "b" },
  { type: "lease-ended", id: "7587862094993451009" },
  { ...instance("c", "{}"), liveness: { type: "none" } } as StateRecord,
];
const journal = Buffer.from(records.map(encodeRecord).join(""));

/** What stood after each of the records, the first one being after none. */
const states = records.reduce<Stored[]>(
  (before, record) => {
    const last = before.at(-1) ?? emptyState();
    const next = { ...last, leases: new Map(last.leases), instances: new Map(last.instances) };
    applyRecord(next, record);
    return [...before, next];
  },
  [emptyState()],
);

function stateOf(lines: readonly StateRecord[]): Stored {
  const stored = emptyState();
  for (const line of lines) applyRecord(stored, line);
  return stored;
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer, void, void> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

describe("a journal", () => {
  it("is read as it was written, in pieces of any size", async () => {
    for (const size of [1, 7, 64, journal.length]) {
      const { stored, damage } = await readJournal(inPieces(journal, size));
      expect(damage).toBeUndefined();
      expect(stored).toEqual(states.at(-1));
    }
  });

  it("that is cut off anywhere gives what stood after some record, and tells of a torn line", async () => {
    for (let length = 0; length <= journal.length; length++) {
      const { stored, damage } = await readJournal(inPieces(journal.subarray(0, length), 64));
      const lines = journal.subarray(0, length).filter((byte) => byte === 0x0a).length;
      expect(stored).toEqual(states[lines]);
      const isWhole = length === 0 || journal[length - 1] === 0x0a;
      expect(damage?.type).toBe(isWhole ? undefined : "torn");
    }
  });

  it("with any bytes changed gives what its whole lines say, and nothing that was not written", async () => {
    const change = fc.record({ at: fc.nat(journal.length - 1), bits: fc.integer({ min: 1, max: 255 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(change, { minLength: 1, maxLength: 4, selector: ({ at }) => at }),
        async (changes) => {
          const bytes = Buffer.from(journal);
          for (const { at, bits } of changes) bytes[at] = (bytes[at] ?? 0) ^ bits;
          const { stored, damage } = await readJournal(inPieces(bytes, 50));
          expect(damage).toBeDefined();
          const whole = bytes
            .toString("latin1")
            .split("\n")
            .flatMap((text) =>
              records.filter((record) => encodeRecord(record) === Buffer.from(`${text}\n`, "latin1").toString()),
            );
          // Without its agent's line the name is that of a lease.
          expect({ ...stored, agent: "" }).toEqual({ ...stateOf(whole), agent: "" });
        },
      ),
      { numRuns: 500 },
    );
  });

  it("of bytes that are no journal gives nothing, and names the line", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
        const { stored, damage } = await readJournal(inPieces(Buffer.from(bytes), 50));
        expect(stored).toEqual(emptyState());
        expect(damage).toBeDefined();
      }),
    );
    const endless = Buffer.alloc(1024 * 1024, "x");
    expect((await readJournal(inPieces(endless, 65_536))).damage).toEqual({
      type: "corrupt",
      line: 1,
      reason: "it does not end",
      lines: 1,
    });
    const lines = Buffer.from("x\n".repeat(20_000));
    expect((await readJournal(inPieces(lines, 65_536))).damage).toMatchObject({ line: 1, lines: 10_000 });
  });

  it("with a line that does not end is read on after it", async () => {
    const [first, ...others] = records.map(encodeRecord);
    const bytes = Buffer.from(`${first}${"x".repeat(100_000)}\n${others.join("")}`);
    for (const size of [4096, 65_536]) {
      const { stored, damage } = await readJournal(inPieces(bytes, size));
      expect(stored).toEqual(states.at(-1));
      expect(damage).toMatchObject({ line: 2, lines: 1 });
    }
  });

  it("is read no further where another version wrote on", async () => {
    const [first, second, ...others] = records;
    const foreign = encodeRecord({ type: "of a later version" } as unknown as StateRecord);
    const text =
      [first, second].map((record) => encodeRecord(record as StateRecord)).join("") +
      foreign +
      others.map(encodeRecord).join("");
    const { stored, damage } = await readJournal(inPieces(Buffer.from(text), 64));
    expect(stored).toEqual(states[2]);
    expect(damage).toMatchObject({ line: 3, lines: 1 });
  });

  it("of a later version, or without its first line, is refused", async () => {
    const later = encodeRecord({ ...agentRecord("a", false), version: 2 } as unknown as StateRecord);
    const headless = Buffer.from(records.slice(1).map(encodeRecord).join(""));
    expect((await readJournal(inPieces(Buffer.from(later), 50))).damage).toMatchObject({ type: "corrupt", line: 1 });
    expect((await readJournal(inPieces(headless, 50))).damage).toMatchObject({
      line: 1,
      reason: "the agent's name does not come first",
    });
  });
});
