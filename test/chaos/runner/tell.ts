import type { FaultEvent, HistoryEvent, RunEvent } from "../history/event.ts";
import type { Violation } from "../guarantees/guarantee.ts";
import { describeEvent, endOf, startOf } from "./describe.ts";

/** Violations of one guarantee that are shown with their events; a broken guarantee is broken many times. */
const SHOWN_MAX = 3;

/** What there is to tell of a guarantee, held or broken. */
export interface JudgedGuarantee {
  readonly name: string;
  readonly promise: string;
  /** How many observations were judged: with none, nothing is said of it. */
  readonly judgedCount: number;
}

export interface Told {
  readonly run: RunEvent;
  readonly history: readonly HistoryEvent[];
  readonly violations: readonly Violation[];
  /** Paths of what is kept. */
  readonly historyFile: string;
  readonly reportFile?: string;
  readonly guarantees: readonly JudgedGuarantee[];
}

/** The result of a run, for the terminal. */
export function tellResult(told: Told): string {
  const { run, history, violations } = told;
  const kept = [
    ...(told.reportFile === undefined ? [] : [`report:  ${told.reportFile}`]),
    `history: ${told.historyFile}`,
    ...(run.command === undefined ? [] : [`replay:  ${run.command}`]),
  ];
  const unjudged = told.guarantees.filter(({ judgedCount }) => judgedCount === 0).map(({ name }) => name);
  if (unjudged.length > 0) kept.unshift(`not judged, since nothing of it was seen: ${unjudged.join(", ")}`);
  if (violations.length === 0) return [`seed ${run.seed}: held (${countsOf(history)})`, ...kept].join("\n");
  const broken = [...new Set(violations.map(({ guarantee }) => guarantee))];
  const versions = Object.entries(run.versions).map(([name, version]) => `${name} ${version}`);
  return [
    `seed ${run.seed}: BROKEN: ${broken.join(", ")} (${countsOf(history)}; ${versions.join(", ")})`,
    ...broken.flatMap((guarantee) => {
      const own = violations.filter((violation) => violation.guarantee === guarantee);
      const more = own.length - SHOWN_MAX;
      return [
        "",
        `${guarantee}: ${told.guarantees.find(({ name }) => name === guarantee)?.promise ?? ""}`,
        ...own.slice(0, SHOWN_MAX).flatMap((violation) => violationLines(violation, history)),
        ...(more > 0 ? [`  and ${more} more`] : []),
      ];
    }),
    "",
    ...kept,
  ].join("\n");
}

function violationLines(violation: Violation, history: readonly HistoryEvent[]): string[] {
  const under = faultsUnderWay(violation, history);
  return [
    `  ${violation.what}`,
    ...violation.events.map((event) => `    ${describeEvent(event)}`),
    under.length === 0 ? "    no fault was under way" : "    under way:",
    ...under.map((event) => `      ${describeEvent(event)}`),
  ];
}

/** The faults whose time overlaps that of the events that show a violation, each once. */
export function faultsUnderWay(violation: Violation, history: readonly HistoryEvent[]): readonly FaultEvent[] {
  const timed = violation.events.filter(({ type }) => type !== "run" && type !== "fault");
  const from = Math.min(...timed.map(startOf));
  const to = Math.max(...timed.map(endOf));
  return faultsOf(history).filter((fault) => fault.from <= to && endOf(fault) >= from);
}

/** Each fault once, as it was told last: with its end, where it had one. */
export function faultsOf(history: readonly HistoryEvent[]): readonly FaultEvent[] {
  const byId = new Map<number, FaultEvent>();
  for (const event of history) if (event.type === "fault") byId.set(event.id, event);
  return [...byId.values()];
}

export function countsOf(history: readonly HistoryEvent[]): string {
  const count = (type: HistoryEvent["type"]) => history.filter((event) => event.type === type).length;
  return `${count("read")} reads, ${count("write")} writes, ${count("commit")} commits, ${faultsOf(history).length} faults`;
}
