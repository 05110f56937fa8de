import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createManualClock } from "../../../test/support/clock.ts";
import { temporaryFolder } from "../../../test/support/folder.ts";
import { until } from "../../../test/support/until.ts";
import { createLogTo, type LogLine } from "../../../node/log.ts";
import { createStateFiles, type StateFiles } from "./files.ts";
import { createJournal } from "./journal.ts";
import { readJournal } from "./read.ts";
import { agentRecord, type StateRecord } from "./records.ts";

const record = (instance: string, value = "{}"): StateRecord => ({
  type: "instance",
  namespace: "default",
  service: "web",
  instance,
  liveness: { type: "heartbeat", ttlSeconds: 30 },
  source: "api",
  value,
});

/** A journal over real files, whose writes can be made to fail, and what lives in it. */
function setUp() {
  const dir = temporaryFolder();
  const real = createStateFiles(dir);
  const fault = { append: async () => {}, create: async () => {} };
  let appends = 0;
  const files: StateFiles = {
    ...real,
    async create() {
      await fault.create();
      const file = await real.create();
      const append = file.append.bind(file);
      file.append = async (text) => {
        appends += 1;
        await fault.append();
        await append(text);
      };
      return file;
    },
  };
  const clock = createManualClock();
  const lines: LogLine[] = [];
  const log = createLogTo("test", (line) => lines.push(line));
  const live = new Map<string, string>();
  const journal = createJournal({ files, clock, random: () => 0.5, log });
  const keep = (name: string, value?: string) => {
    live.set(name, value ?? "{}");
    journal.append(record(name, value));
  };
  return {
    dir,
    fault,
    clock,
    lines,
    journal,
    keep,
    live,
    appends: () => appends,
    open: () =>
      journal.open(function* () {
        yield agentRecord("a1", false);
        for (const [name, value] of live) yield record(name, value);
      }),
    stored: async (name: "journal" | "behind" = "journal") => {
      const chunks = await real.read(name);
      if (!chunks) return undefined;
      const { stored, damage } = await readJournal(chunks);
      expect(damage).toBeUndefined();
      return [...stored.instances.values()].map(({ instance }) => instance);
    },
  };
}

const full = () => Promise.reject(Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" }));
const well = async () => {};

describe("a journal", () => {
  it("has what was appended once it is flushed, and many records in few writes", async () => {
    const { journal, keep, open, stored, appends } = setUp();
    await open();
    const before = appends();
    const waiting = Array.from({ length: 500 }, async (_, index) => {
      keep(`i${index}`);
      await journal.flushed();
    });
    await Promise.all(waiting);
    expect(await stored()).toHaveLength(500);
    expect(appends() - before).toBeLessThan(10);
    await journal.close();
  });

  it("stays within a small multiple of what lives, whatever is written, and has the last of each", async () => {
    const { dir, journal, keep, open, live } = setUp();
    await open();
    const value = (round: number) => JSON.stringify({ round, filling: "x".repeat(3000) });
    let most = 0;
    for (let round = 0; round < 60; round++) {
      for (let index = 0; index < 20; index++) keep(`i${index}`, value(round));
      await journal.flushed();
      // What is appended while it is written anew is not counted: a disk may take its time.
      await until("it is not being written anew", () => !existsSync(join(dir, "journal.new")));
      most = Math.max(most, statSync(join(dir, "journal")).size);
    }
    await journal.close();
    // 60 kB live; 3.6 MB were written.
    expect(most).toBeLessThan(1.5 * 1024 * 1024);
    const chunks = await createStateFiles(dir).read("journal");
    if (!chunks) throw new Error("no journal");
    const { stored } = await readJournal(chunks);
    expect(stored.instances.size).toBe(live.size);
    expect(new Set([...stored.instances.values()].map((each) => each.value))).toEqual(new Set([value(59)]));
    expect(readdirSync(dir)).toEqual(["journal"]);
  });

  it("keeps what is appended while it is written anew", async () => {
    const { journal, keep, open, fault, stored } = setUp();
    for (let index = 0; index < 1000; index++) keep(`old${index}`, JSON.stringify("x".repeat(3000)));
    const { promise: gate, resolve: release } = Promise.withResolvers<void>();
    let writes = 0;
    fault.append = () => (++writes === 3 ? gate : Promise.resolve());
    const opening = open();
    await until("half of it is written", () => writes === 3);
    keep("new");
    keep("old0", '"changed"');
    release();
    await opening;
    await journal.flushed();
    expect(await stored()).toHaveLength(1001);
    expect(journal.state()).toEqual({ type: "whole" });
    await journal.close();
  });
});

describe("a disk that is full", () => {
  it("keeps nobody waiting, is told once, and what came meanwhile is written when there is room", async () => {
    const { journal, keep, open, fault, stored, clock, lines } = setUp();
    await open();
    keep("before");
    await journal.flushed();
    fault.append = full;
    for (let index = 0; index < 10; index++) {
      keep(`during${index}`);
      await journal.flushed();
    }
    expect(journal.state()).toEqual({ type: "behind", reason: expect.stringContaining("ENOSPC") });
    // Known to lack something, by its name.
    await until("it is marked", async () => (await stored("behind")) !== undefined);
    expect(await stored()).toBeUndefined();
    for (let minute = 0; minute < 5; minute++) await clock.advance(60_000);
    fault.append = well;
    await until("it is whole again", async () => {
      await clock.advance(30_000);
      return journal.state().type === "whole";
    });
    expect(await stored()).toHaveLength(11);
    expect(await stored("behind")).toBeUndefined();
    keep("after");
    await journal.flushed();
    expect(await stored()).toHaveLength(12);
    expect(lines.filter(({ level }) => level === "error")).toHaveLength(1);
    await journal.close();
  });

  it("at the start makes the journal of the run before one that is behind", async () => {
    const { dir, journal, keep, open, fault, stored } = setUp();
    const before = createJournal({
      files: createStateFiles(dir),
      clock: createManualClock(),
      random: () => 0.5,
      log: createLogTo("test", undefined),
    });
    await before.open(() => [agentRecord("a1", false), record("earlier")]);
    await before.close();
    fault.create = full;
    await open();
    keep("a");
    await journal.flushed();
    expect(journal.state().type).toBe("behind");
    await until("it is marked", async () => (await stored("behind"))?.includes("earlier"));
    await journal.close();
  });
});

describe("a disk that hangs", () => {
  it("keeps a write waiting for 2 s, and the next ones not at all; it is not asked again before it has answered", async () => {
    const { journal, keep, open, fault, clock, appends, stored } = setUp();
    await open();
    const { promise: gate, resolve: release } = Promise.withResolvers<void>();
    fault.append = () => gate;
    keep("a");
    let waited = false;
    void journal.flushed().then(() => (waited = true));
    await clock.advance(1900);
    expect(waited).toBe(false);
    await clock.advance(200);
    expect(waited).toBe(true);
    expect(journal.state().type).toBe("behind");
    const asked = appends();
    keep("b");
    await journal.flushed();
    for (let minute = 0; minute < 5; minute++) await clock.advance(60_000);
    expect(appends()).toBe(asked);
    fault.append = well;
    release();
    await until("it is whole again", async () => {
      await clock.advance(30_000);
      return journal.state().type === "whole";
    });
    expect(await stored()).toEqual(["a", "b"]);
    await journal.close();
  });
});

describe("a journal that does not stand where it was put", () => {
  it("is not written any more when another process has put its own there, which stays as it is", async () => {
    const { dir, journal, keep, open, clock, lines } = setUp();
    await open();
    rmSync(join(dir, "journal"));
    writeFileSync(join(dir, "journal"), "another's\n");
    await clock.advance(2000);
    await until("it is noticed", async () => {
      keep("a");
      await journal.flushed();
      return journal.state().type === "replaced";
    });
    for (let minute = 0; minute < 5; minute++) await clock.advance(60_000);
    keep("b");
    await journal.flushed();
    await journal.close();
    expect(readFileSync(join(dir, "journal"), "utf8")).toBe("another's\n");
    expect(readdirSync(dir)).toEqual(["journal"]);
    expect(lines.filter(({ level }) => level === "error")).toHaveLength(1);
  });

  it("is written anew when it was removed", async () => {
    const { dir, journal, keep, open, clock, stored } = setUp();
    await open();
    keep("a");
    await journal.flushed();
    rmSync(join(dir, "journal"));
    await until("it is there again", async () => {
      await clock.advance(2000);
      keep("b");
      await journal.flushed();
      return await stored();
    });
    expect(await stored()).toEqual(["a", "b"]);
    await journal.close();
  });
});
