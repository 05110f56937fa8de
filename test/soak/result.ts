import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { machine } from "../../bench/support/report.ts";
import type { Violation } from "../chaos/guarantees/guarantee.ts";
import type { Soaked } from "./run.ts";
import { measuredOf } from "./measured.ts";
import { drawSoak } from "./picture.ts";
import { judge, round, type Verdict } from "./verdict.ts";

/** Rates of a run, whatever its length. */
const RATES = 60;
const RATE_MS_MIN = 5000;

export interface ResultOptions {
  readonly soaked: Pick<Soaked, "history" | "readings" | "fromMs" | "toMs" | "run">;
  readonly violations: readonly Violation[];
  readonly command: string;
  /** RFC 3339, UTC. */
  readonly takenAt: string;
}

export interface Result {
  readonly verdicts: readonly Verdict[];
  readonly violations: readonly Violation[];
  /** Nothing grows, everything was measured, and every guarantee held. */
  readonly passed: boolean;
  /** What is kept beside the picture. */
  readonly kept: object;
  readonly picture: string;
}

/** What a soak has shown: pure, so that it can be made again of what was recorded. */
export function resultOf({ soaked, violations, command, takenAt }: ResultOptions): Result {
  const { history, readings, fromMs, toMs, run } = soaked;
  const rateMs = Math.max(RATE_MS_MIN, (toMs - fromMs) / RATES);
  const measured = measuredOf(history, readings, rateMs);
  const verdicts = judge(measured, fromMs, toMs);
  const growing = verdicts.filter(({ trend }) => trend !== "flat");
  const passed = growing.length === 0 && violations.length === 0 && verdicts.length > 0;
  const during = (type: "read" | "write" | "commit") =>
    history.filter((event) => event.type === type && timeOf(event) >= fromMs && timeOf(event) <= toMs).length;
  const workload = { reads: during("read"), writes: during("write"), commits: during("commit") };
  const host = machine();
  const outcome = passed
    ? "nothing grows, every guarantee held"
    : `${growing.length} not flat, ${violations.length} violations of guarantees`;
  const picture = drawSoak({
    title: `${run.minutes} minutes of churn: ${outcome}`,
    lines: [
      `${Object.entries(workload)
        .map(([what, count]) => `${count} ${what}`)
        .join(", ")}; ${takenAt}`,
    ],
    history,
    measured,
    verdicts,
    fromMs,
    toMs,
  });
  const kept = {
    command,
    takenAt,
    machine: host,
    versions: run.versions,
    seed: run.seed,
    minutes: run.minutes,
    workload,
    outcome,
    violations: violations.map(({ guarantee, what }) => ({ guarantee, what })),
    verdicts: verdicts.map(({ level, growth, growthLate, allowed, ...rest }) => ({
      ...rest,
      level: round(level),
      growth: round(growth),
      growthLate: round(growthLate),
      allowed: round(allowed),
    })),
  };
  return { verdicts, violations, passed, kept, picture };
}

export function keepResult(folder: string, { kept, picture }: Result): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "soak.json"), `${JSON.stringify(kept, undefined, 2)}\n`);
  writeFileSync(join(folder, "soak.svg"), picture);
}

function timeOf(event: { readonly at: number } | { readonly to: number } | { readonly type: string }): number {
  return "at" in event ? event.at : "to" in event ? event.to : 0;
}
