import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createManualClock } from "../../../test/support/clock.ts";
import { temporaryFolder } from "../../../test/support/folder.ts";
import { createLogTo, type LogLine } from "../../../node/log.ts";
import { checkStateDirectory, openStateDirectory } from "./directory.ts";
import { agentRecord, encodeRecord } from "./records.ts";

const good = encodeRecord(agentRecord("host-7070", false));
const leaseOf = (id: string, sentinel = "x") =>
  encodeRecord({ type: "lease", id, namespace: "default", ttlSeconds: 30, sentinels: [sentinel] });
const lease = leaseOf("1");
const otherLease = leaseOf("2");
const instance = encodeRecord({
  type: "instance",
  namespace: "default",
  service: "web",
  instance: "a",
  liveness: { type: "none" },
  source: "api",
  value: "{}",
});

function setUp() {
  const dir = join(temporaryFolder(), "state");
  mkdirSync(dir);
  const lines: LogLine[] = [];
  const clock = createManualClock();
  const open = async () => {
    const directory = await openStateDirectory(
      dir,
      createLogTo("test", (line) => lines.push(line)),
      clock,
    );
    directory.release();
    return directory.stored;
  };
  return { dir, lines, clock, open, write: (name: string, text: string) => writeFileSync(join(dir, name), text) };
}

describe("a state directory", () => {
  it("is made for its owner alone, and belongs to one process at a time", async () => {
    const dir = join(temporaryFolder(), "a/b");
    const log = createLogTo("test", undefined);
    const first = await openStateDirectory(dir, log, createManualClock());
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(first.stored.agent).toBeUndefined();
    const second = openStateDirectory(`${dir}/../b`, log, createManualClock());
    await expect(second).rejects.toMatchObject({
      code: "conflict",
      message: `The state directory "${dir}/../b" is in use by another registrar, process ${process.pid}.`,
    });
    first.release();
    const third = await openStateDirectory(dir, log, createManualClock());
    third.release();
  });

  it.each(["a link", "a pipe", "a folder"])(
    "whose journal is %s keeps nobody from starting: that is set aside",
    async (kind) => {
      const { dir, lines, open, write } = setUp();
      const journal = join(dir, "journal");
      write("elsewhere", good + lease);
      if (kind === "a link") symlinkSync(join(dir, "elsewhere"), journal);
      else if (kind === "a pipe") execFileSync("mkfifo", [journal]);
      else mkdirSync(journal);
      expect(await open()).toMatchObject({ agent: undefined, behind: true, leases: new Map() });
      expect(lines.map(({ level }) => level)).toEqual(["error"]);
      expect(readdirSync(dir).filter((name) => name.startsWith("journal"))).toEqual([
        expect.stringMatching(/^journal\.corrupt-/),
      ]);
      expect(readFileSync(join(dir, "elsewhere"), "utf8")).toBe(good + lease);
    },
  );

  it("writes its process id through no link", async () => {
    const { dir, lines, open, write } = setUp();
    write("elsewhere", "theirs");
    symlinkSync(join(dir, "elsewhere"), join(dir, "pid"));
    await open();
    expect(readFileSync(join(dir, "elsewhere"), "utf8")).toBe("theirs");
    expect(lines).toMatchObject([{ level: "warn", fields: { path: join(dir, "pid") } }]);
  });

  it("that is none, or cannot be written to, is refused by its name", () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "file"), "");
    expect(() => checkStateDirectory(join(folder, "file"))).toThrow(
      /file" cannot hold the registrar's state: it is not a directory/,
    );
    expect(() => checkStateDirectory(join(folder, "file/state"))).toThrow(
      /file\/state" cannot hold the registrar's state: ENOTDIR/,
    );
    // Linux makes none there, whoever asks.
    expect(() => checkStateDirectory("/proc/nope/state")).toThrow(
      /"\/proc\/nope\/state" cannot hold the registrar's state: ENOENT.*\/proc\/nope'/,
    );
  });
});

describe("a journal that is found", () => {
  it("with its last line torn is read without that, and it is told", async () => {
    const { lines, open, write } = setUp();
    write("journal", good + lease.slice(0, 20));
    expect(await open()).toMatchObject({ agent: "host-7070", behind: false, leases: new Map() });
    expect(lines).toMatchObject([{ level: "warn", fields: { bytes: 20 } }]);
  });

  it("corrupt is set aside and told, and what stands before and after the damage is taken as behind", async () => {
    const { dir, lines, open, write } = setUp();
    const corrupt = good + lease + "garbage\n" + instance + "garbage\n" + otherLease;
    write("journal", corrupt);
    const stored = await open();
    expect(stored).toMatchObject({ agent: "host-7070", behind: true });
    expect([...stored.leases.keys()]).toEqual(["1", "2"]);
    const [line] = lines;
    expect(line).toMatchObject({ level: "error", fields: { line: 3, lines: 2, kept: { leases: 2, instances: 1 } } });
    const path = String(line?.fields["path"]);
    expect(path).toMatch(/journal\.corrupt-2026-01-01T00-00-00-000Z$/);
    expect(path.startsWith(dir)).toBe(true);
    expect(readFileSync(path, "utf8")).toBe(corrupt);
  });

  it("whose first line is damaged has its agent's name from a lease", async () => {
    const { open, write } = setUp();
    write("journal", "garbage\n" + lease + leaseOf("2", '{"agent":"host-7070","incarnation":"r"}'));
    expect(await open()).toMatchObject({ agent: "host-7070", behind: true });
  });

  it("corrupt again and again leaves three of them, the last ones", async () => {
    const { dir, clock, open, write } = setUp();
    for (let time = 0; time < 5; time++) {
      write("journal", `garbage ${time}\n`);
      await open();
      await clock.advance(1000);
    }
    const aside = readdirSync(dir).filter((name) => name.includes("corrupt"));
    expect(aside.map((name) => readFileSync(join(dir, name), "utf8"))).toEqual(
      [2, 3, 4].map((time) => `garbage ${time}\n`),
    );
  });

  it("under the name of one that is behind is taken as such, and only without a later one", async () => {
    const { open, write } = setUp();
    write("journal.behind", good + lease);
    expect(await open()).toMatchObject({ agent: "host-7070", behind: true });
    write("journal", good);
    expect(await open()).toMatchObject({ agent: "host-7070", behind: false, leases: new Map() });
  });
});
