import { FingerpostError } from "../../../kernel/errors.ts";
import { seededRandom } from "../../support/random.ts";
import { between } from "./draw.ts";
import type { Fault, Planned } from "./fault.ts";
import { clash } from "./schedule.ts";

/** What a person asks for: these faults then and then, or whatever is drawn from some of them. */
export type FaultsAsked =
  | { readonly type: "schedule"; readonly planned: readonly Planned[] }
  | { readonly type: "only"; readonly faults: readonly Fault[] };

const DEFAULT_DURATION_MS = 2000;
/** What the recorder keeps in memory is an hour and a half; and several seeds find more than one that is long. */
export const FAULTS_MINUTES_MAX = 60;
const SEED_MAX = 2 ** 32 - 1;
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };
const ENTRY =
  /^(?<name>[a-z-]+)(?:@(?<at>\d+(?:\.\d+)?(?:ms|s|m))(?:\+(?<lasts>\d+(?:\.\d+)?(?:ms|s|m)))?(?:#(?<seed>\d+))?)?$/;

interface Entry {
  readonly fault: Fault;
  readonly atMs: number | undefined;
  readonly durationMs: number;
  readonly seed: number | undefined;
}

/**
 * `redis-kill@3s+2s,etcd-leader-kill@5s#17` is a schedule: each at its time since the beginning, for so long (2 s unless
 * told), with its own choices by that seed (drawn from the run's unless told). `redis-kill,agent-pause`, without times,
 * is what to draw from. Throws `invalid_argument` with everything that is wrong.
 */
export function parseFaults(text: string, faults: readonly Fault[], seed: number): FaultsAsked {
  const problems: string[] = [];
  const entries: Entry[] = [];
  for (const part of text.split(",").map((each) => each.trim())) {
    const groups = ENTRY.exec(part)?.groups;
    const fault = faults.find(({ name }) => name === groups?.["name"]);
    if (!groups) problems.push(`"${part}" is not of the form name, name@3s, name@3s+500ms or name@3s+2s#seed`);
    else if (!fault) problems.push(`there is no fault "${groups["name"]}"`);
    else {
      const { at, lasts, seed: own } = groups;
      entries.push({
        fault,
        atMs: at === undefined ? undefined : toMs(at),
        durationMs: lasts === undefined ? DEFAULT_DURATION_MS : toMs(lasts),
        seed: own === undefined ? undefined : Number(own),
      });
    }
  }
  const timed = entries.filter(({ atMs }) => atMs !== undefined);
  if (timed.length > 0 && timed.length < entries.length) problems.push("some have a time and some have none");
  problems.push(...clashes(timed));
  for (const { fault, atMs = 0, durationMs, seed: own = 0 } of timed) {
    if (atMs + durationMs > FAULTS_MINUTES_MAX * 60_000) {
      problems.push(`${fault.name} ends later than ${FAULTS_MINUTES_MAX} minutes after the beginning`);
    }
    if (own > SEED_MAX) problems.push(`${fault.name} has a seed above ${SEED_MAX}`);
  }
  if (problems.length > 0) throw new FingerpostError("invalid_argument", `--faults: ${problems.join("; ")}`);
  if (timed.length === 0) return { type: "only", faults: [...new Set(entries.map(({ fault }) => fault))] };

  const random = seededRandom(seed);
  const planned = timed.map((entry, id) => ({
    id,
    name: entry.fault.name,
    atMs: entry.atMs ?? 0,
    durationMs: entry.durationMs,
    seed: entry.seed ?? between(random, 0, 2 ** 31 - 1),
  }));
  return { type: "schedule", planned: planned.toSorted((a, b) => a.atMs - b.atMs) };
}

/** What `parseFaults` makes the same schedule of, whatever the run's seed. */
export function formatSchedule(planned: readonly Planned[]): string {
  return planned.map(({ name, atMs, durationMs, seed }) => `${name}@${atMs}ms+${durationMs}ms#${seed}`).join(",");
}

function clashes(entries: readonly Entry[]): readonly string[] {
  return entries.flatMap((one, at) =>
    entries
      .slice(at + 1)
      .filter((other) => clash(one.fault, other.fault) && overlap(one, other))
      .map(({ fault }) => `${one.fault.name} and ${fault.name} would be under way at once, and touch the same`),
  );
}

function overlap(one: Entry, other: Entry): boolean {
  const [from, otherFrom] = [one.atMs ?? 0, other.atMs ?? 0];
  return from < otherFrom + other.durationMs && otherFrom < from + one.durationMs;
}

function toMs(text: string): number {
  const [, number, unit = ""] = /^([\d.]+)(ms|s|m)$/.exec(text) ?? [];
  return Math.round(Number(number) * (UNITS_MS[unit] ?? Number.NaN));
}
