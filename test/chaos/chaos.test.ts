import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT_DIR } from "../support/dev.ts";
import { descendantsOf, stillRunning } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { BROKEN_BUILDS } from "./broken/builds.ts";
import type { HistoryEvent, ReadEvent } from "./history/event.ts";
import { readHistory } from "./history/recorder.ts";

// The suite itself, on a fleet of its own: a few seconds of faults, what is then said of it, and what is said of a
// history in which a promise was broken.

/** One after another or together, on parts that recover within the seconds there are. */
const FAULTS = [
  "etcd-leader-kill@300ms+1500ms#1",
  "redis-kill@1s+1s#1",
  "worker-kill@2500ms+500ms#1",
  "upstash-failing@3200ms+800ms#1",
  "agent-restart@3500ms+500ms#1",
].join(",");
const RUN_WITHIN_MS = 120_000;

const folder = mkdtempSync(join(tmpdir(), "fingerpost-chaos-"));
const children = new Set<ChildProcess>();
afterAll(() => {
  // Of a test that took too long. What it started goes with it.
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(...args: readonly string[]) {
  const child = spawn(process.execPath, [join(PROJECT_DIR, "test/chaos/main.ts"), ...args], { cwd: folder });
  children.add(child);
  child.once("close", () => children.delete(child));
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (text: Buffer) => (stdout += text.toString()));
  child.stderr.on("data", (text: Buffer) => (stderr += text.toString()));
  const ended = new Promise<Ended>((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr })));
  return { child, ended, stderr: () => stderr };
}

const chaos = (...args: readonly string[]) => start(...args).ended;

describe("a short run", () => {
  const out = join(folder, "runs");
  let ended: Ended;
  let runFolder: string;
  let history: readonly HistoryEvent[];
  beforeAll(async () => {
    ended = await chaos("--short", "--seed", "7", "--faults", FAULTS, "--out", out);
    runFolder = join(out, readdirSync(out)[0] ?? "");
    history = existsSync(runFolder) ? readHistory(join(runFolder, "history.jsonl")) : [];
  }, RUN_WITHIN_MS);

  const of = <T extends HistoryEvent["type"]>(type: T) =>
    history.filter((event): event is Extract<HistoryEvent, { type: T }> => event.type === type);

  test("holds every guarantee under faults", () => {
    expect(ended.stdout + ended.stderr).toContain("seed 7: held");
    expect(ended.code).toBe(0);
  });

  test("reads in every way, and does each fault and undoes it", () => {
    expect(new Set(of("read").map(({ by }) => by))).toEqual(new Set(["http", "client", "stream", "poll"]));
    expect(new Set(of("read").map(({ resolver }) => resolver))).toEqual(new Set(["worker", "node"]));
    const undone = of("fault").filter(({ to }) => to !== undefined);
    expect(new Set(undone.map(({ name }) => name))).toEqual(
      new Set(FAULTS.split(",").map((text) => text.split("@")[0])),
    );
    expect(of("phase").map(({ phase }) => phase)).toEqual([
      "warm-up",
      "idle",
      "lookups",
      "faults",
      "healed",
      "idle",
      "lookups",
      "end",
    ]);
    expect(of("commit").length).toBeGreaterThan(0);
    expect(new Set(of("write").map(({ operation }) => operation))).toContain("heartbeat");
  });

  test("leaves its report and its history, and nothing of the fleet", () => {
    expect(readdirSync(runFolder).toSorted()).toEqual(["history.jsonl", "report.html", "result.txt"]);
    expect(readFileSync(join(runFolder, "report.html"), "utf8")).toContain("every guarantee held");
  });

  test("is judged alike when its history is checked again", async () => {
    const again = await chaos("--check", join(runFolder, "history.jsonl"));
    expect(again.stdout).toContain("seed 7: held");
    expect(again.code).toBe(0);
  });

  test("is not held where its end is missing", async () => {
    const unfinished = join(folder, "unfinished.jsonl");
    const lines = history.slice(0, history.length / 2).map((event) => `${JSON.stringify(event)}\n`);
    writeFileSync(unfinished, lines.join(""));
    const again = await chaos("--check", unfinished);
    expect(again.stderr).toContain("ends before the run had ended");
    expect(again.code).toBe(3);
  });

  test("with an answer that went back is told with its seed, the guarantee, what shows it, and the command that replays it", async () => {
    const newest = of("read").findLast(({ by, epoch, resolver }) => by === "http" && epoch && resolver === "node");
    const { epoch = 0, at } = { ...newest, at: newest?.to ?? 0 };
    const older: ReadEvent = { ...(newest as ReadEvent), from: at + 10, to: at + 12, epoch: epoch - 1 };
    const doctored = join(folder, "doctored.jsonl");
    writeFileSync(doctored, [...history, older].map((event) => `${JSON.stringify(event)}\n`).join(""));
    const told = await chaos("--check", doctored);
    expect(told.code).toBe(1);
    expect(told.stdout).toContain("seed 7: BROKEN: forward only");
    expect(told.stdout).toMatch(/etcd \d+\.\d+\.\d+, Redis \d/);
    expect(told.stdout).toContain(`epoch ${epoch - 1}, revision ${older.revision}`);
    expect(told.stdout).toContain(`replay:  npm run chaos -- --seed 7 --short --faults ${FAULTS}`);
  });
});

test(
  "a broken build is caught by the check of what it breaks",
  async () => {
    const build = BROKEN_BUILDS.find(({ name }) => name === "a-token-each-call");
    const { code, stdout, stderr } = await chaos("--broken", build?.name ?? "", "--out", join(folder, "broken"));
    expect(stdout + stderr).toContain(`a-token-each-call: caught by ${build?.guarantee}`);
    expect(code).toBe(0);
  },
  RUN_WITHIN_MS,
);

test(
  "an interrupted run says that nothing was concluded, and leaves nothing running",
  async () => {
    const { child, ended, stderr } = start("--short", "--seed", "7", "--out", join(folder, "interrupted"));
    const pid = child.pid ?? 0;
    const some = await until("a part of the fleet runs", () => {
      const found = descendantsOf(pid);
      return found.length >= 3 && found;
    });
    child.kill("SIGINT");
    const { code, stdout } = await ended;
    expect(stdout + stderr()).toContain("seed 7: interrupted; nothing was concluded");
    expect(code).toBe(130);
    expect(stillRunning(some)).toEqual([]);
  },
  RUN_WITHIN_MS,
);

test("what is no history is refused, and says so", async () => {
  const { code, stderr } = await chaos("--check", join(folder, "no-such-history"));
  expect(stderr).toContain("cannot be read as a history");
  expect(code).toBe(2);
});
