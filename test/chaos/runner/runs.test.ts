import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createRunFolder, KEPT_MAX } from "./folders.ts";
import { replayCommand } from "./replay.ts";
import { minutesOf, readFaults, scheduleOf } from "./schedule.ts";

const LEASE_TTL_MS = 5000;

test("only the last runs are kept, the one that has just begun among them; what is not a run's stays", () => {
  const parent = mkdtempSync(join(tmpdir(), "fingerpost-runs-"));
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }));
  mkdirSync(join(parent, "mine"));
  for (let run = 0; run < KEPT_MAX + 5; run++) createRunFolder(parent, run, run * 1000);
  const names = readdirSync(parent);
  expect(names).toContain("mine");
  const seeds = names.flatMap((name) => /-seed-(\d+)-/.exec(name)?.[1] ?? []).map(Number);
  expect(seeds.toSorted((a, b) => a - b)).toEqual(Array.from({ length: KEPT_MAX }, (_, index) => index + 5));
});

test("the folder of a run that is under way in another process is never removed", () => {
  const parent = mkdtempSync(join(tmpdir(), "fingerpost-runs-"));
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }));
  const other = `19700101-000000-seed-1-${process.ppid}`;
  mkdirSync(join(parent, other));
  for (let run = 1; run < KEPT_MAX + 5; run++) createRunFolder(parent, run, run * 1000);
  expect(readdirSync(parent)).toContain(other);
});

test("a schedule is taken as it is and lasts as long as it needs; none is none", () => {
  const asked = { seed: 1, faults: "redis-kill@3s+2s,gateway-pause@1s+500ms" };
  expect(scheduleOf(asked, LEASE_TTL_MS).map(({ name, atMs }) => [name, atMs])).toEqual([
    ["gateway-pause", 1000],
    ["redis-kill", 3000],
  ]);
  expect(minutesOf(asked) * 60_000).toBeCloseTo(5500);
  expect(scheduleOf({ seed: 1, faults: "none" }, LEASE_TTL_MS)).toEqual([]);
  expect(() => readFaults("no-such-fault", 1)).toThrow("no-such-fault");
});

test("what is drawn is drawn from the seed, from the faults that are named, within the minutes", () => {
  const asked = { seed: 3, minutes: 1, faults: "redis-kill,gateway-pause" };
  const drawn = scheduleOf(asked, LEASE_TTL_MS);
  expect(drawn).toEqual(scheduleOf(asked, LEASE_TTL_MS));
  expect(drawn).not.toEqual(scheduleOf({ ...asked, seed: 4 }, LEASE_TTL_MS));
  expect(new Set(drawn.map(({ name }) => name))).toEqual(new Set(["redis-kill", "gateway-pause"]));
  expect(Math.max(...drawn.map(({ atMs, durationMs }) => atMs + durationMs))).toBeLessThanOrEqual(60_000);
  expect(minutesOf({ seed: 3 })).toBe(2);
});

test("a short run is short whatever it draws from, and no run ends before its schedule", () => {
  for (const faults of ["redis-kill", "none"]) {
    expect(minutesOf({ seed: 3, short: true, faults })).toBe(0.12);
    expect(minutesOf({ seed: 3, faults })).toBe(2);
  }
  expect(minutesOf({ seed: 3, minutes: 0.1, faults: "redis-kill@5m+30s" })).toBe(5.5);
  expect(minutesOf({ seed: 3, minutes: 7, faults: "redis-kill@5m+30s" })).toBe(7);
});

test("a run is replayed by all that it was asked with", () => {
  expect(replayCommand(7, { short: false })).toBe("npm run chaos -- --seed 7");
  expect(replayCommand(7, { short: false, minutes: 3 })).toBe("npm run chaos -- --seed 7 --minutes 3");
  expect(replayCommand(7, { short: true, minutes: 0.12 })).toBe("npm run chaos -- --seed 7 --short");
  expect(replayCommand(7, { short: true, faults: "none" })).toBe("npm run chaos -- --seed 7 --short --faults none");
  expect(replayCommand(7, { short: true, minutes: 0.1, faults: "none" }, "goes-back")).toBe(
    "npm run chaos -- --broken goes-back --seed 7",
  );
});
