import { describe, expect, it } from "vitest";
import { SETTINGS_DEFAULT } from "../chaos/guarantees/view.ts";
import type { HistoryEvent } from "../chaos/history/event.ts";
import { parseArguments } from "./arguments.ts";
import { measuredOf } from "./measured.ts";
import { resultOf } from "./result.ts";
import type { Reading } from "./sampler.ts";

const MINUTES = 30;
const END_MS = MINUTES * 60_000;
const run = {
  type: "run",
  seed: 1,
  minutes: MINUTES,
  versions: { etcd: "3.4.23" },
  settings: SETTINGS_DEFAULT,
} as const;

/** A sample each ten seconds of a process whose memory is as told, and that logs ten bytes a second. */
function recorded(rssAt: (minute: number) => number): HistoryEvent[] {
  const samples = Array.from({ length: MINUTES * 6 }, (_, index): HistoryEvent => {
    const at = index * 10_000;
    const use = { rssMb: rssAt(at / 60_000), handles: 30, sockets: 12, cpuSeconds: at / 10_000, logBytes: at / 100 };
    return { type: "sample", at, process: "agent-0", life: 1, ...use };
  });
  const etcd = samples.map(({ type: _type, ...sample }): HistoryEvent => ({
    type: "etcd",
    at: "at" in sample ? sample.at : 0,
    process: "etcd-0",
    life: 1,
    requests: { Txn: 10 },
    leases: 5,
    watchers: 3,
    streams: 7,
  }));
  return [run, ...samples, ...etcd];
}

const readings: readonly Reading[] = Array.from({ length: 180 }, (_, index) => ({
  at: index * 10_000,
  process: "agent-0",
  quantity: "heap",
  value: 20,
}));

function result(rssAt: (minute: number) => number, beside = readings) {
  const soaked = { history: recorded(rssAt), readings: beside, fromMs: 0, toMs: END_MS, run };
  return resultOf({ soaked, violations: [], command: "npm run soak", takenAt: "2026-11-21T14:00:00.000Z" });
}

describe("a recorded soak", () => {
  it("has each process' use of each thing, and what it logs as a rate", () => {
    const measured = measuredOf(
      recorded(() => 100),
      readings,
      60_000,
    );
    expect(measured.map(({ quantity, process }) => `${quantity} ${process}`)).toEqual([
      "rss agent-0",
      "heap agent-0",
      "handles agent-0",
      "sockets agent-0",
      "leases etcd-0",
      "watchers etcd",
      "streams etcd",
      "logs agent-0",
    ]);
    const logs = measured.at(-1)?.points ?? [];
    expect(logs).toHaveLength(MINUTES - 1);
    for (const [, bytesPerSecond] of logs) expect(bytesPerSecond).toBeCloseTo(10, 6);
  });

  it("passes when everything is flat, and not with a leak, nor where something could not be measured", () => {
    expect(result(() => 100).passed).toBe(true);
    expect(result((minute) => 100 + minute).passed).toBe(false);
    expect(result(() => 100, readings.slice(0, 5)).passed).toBe(false);
    expect(result(() => 100, readings.slice(0, 40)).verdicts.filter(({ trend }) => trend === "unmeasured")).toEqual([
      expect.objectContaining({ process: "agent-0", quantity: "heap" }),
    ]);
  });

  it("does not pass where a guarantee is broken", () => {
    const soaked = { history: recorded(() => 100), readings, fromMs: 0, toMs: END_MS, run };
    const violations = [{ guarantee: "forward only", what: "it went back", events: [] }] as const;
    const broken = resultOf({ soaked, violations, command: "", takenAt: "" });
    expect(broken.passed).toBe(false);
    expect(JSON.stringify(broken.kept)).toContain("it went back");
  });

  it("is drawn with every quantity and process, and says on it what grows", () => {
    const { picture } = result((minute) => 100 + minute);
    expect(picture).toMatch(/^<svg xmlns=/);
    for (const text of ["memory, MB: grows", "sockets", "agent-0", "etcd-0", "30 min"]) {
      expect(picture).toContain(text);
    }
    expect(picture).not.toMatch(/NaN|undefined|Infinity|<script|href=/);
    expect(result(() => 100).picture).not.toContain(": grows");
  });
});

describe("npm run soak", () => {
  const parse = (...given: string[]) => parseArguments(["node", "main.ts", ...given]);

  it("is an hour, whose picture goes into the docs, and a shorter one leaves them alone", () => {
    expect(parse()).toEqual({ type: "soak", minutes: 60, seed: 1, out: "docs" });
    expect(parse("--minutes", "3", "--seed", "7")).toEqual({ type: "soak", minutes: 3, seed: 7, out: ".cache/soak" });
    expect(parse("--minutes", "3", "--out", "x")).toMatchObject({ out: "x" });
  });

  it.each([["--minutes", "1.9"], ["--minutes", "91"], ["--minutes", "x"], ["--seed", "1.5"], ["--fast"], ["more"]])(
    "refuses %s %s",
    (...given) => expect(parse(...given)).toEqual({ type: "told", exitCode: 2 }),
  );
});
