import type { HistoryEvent, PhaseEvent } from "../history/event.ts";
import { endOf, startOf } from "../runner/describe.ts";
import type { Violation } from "../guarantees/guarantee.ts";
import { timeAxis, WIDTH, widthOf, type Lane, type TimeAxis } from "./chart.ts";
import { escaped } from "./html.ts";
import { duration, lanesOf } from "./lanes.ts";

/** Room for the names of phases and the numbers of what was broken. */
const HEAD = 56;
const FOOT = 20;
const GAP = 10;
const TICKS = 10;
const LEAD_MS = 1000;
/** Marks that are drawn: more would cover what they mark. */
const MARKS_MAX = 60;

/** Everything over one axis of time, as one picture. */
export function timeline(history: readonly HistoryEvent[], violations: readonly Violation[]): string {
  const axis = timeAxis(firstOf(history), lastOf(history));
  const lanes = lanesOf(history, axis);
  let y = HEAD;
  const drawn = lanes.map((lane: Lane) => {
    const group = `<g transform="translate(0 ${y.toFixed(1)})">${lane.body}</g>`;
    y += lane.height + GAP;
    return group;
  });
  const height = y + FOOT;
  const phases = history.filter((event): event is PhaseEvent => event.type === "phase");
  return `<svg viewBox="0 0 ${WIDTH} ${height.toFixed(0)}" role="img" aria-label="timeline of the run">
${phaseBands(phases, axis, y)}
${drawn.join("\n")}
${marks(violations, axis, y)}
${timeTicks(axis, y)}
</svg>`;
}

/** A little before the first phase: the start of the fleet tells nothing, and may take half a minute on a busy machine. */
function firstOf(history: readonly HistoryEvent[]): number {
  const first = history.find(({ type }) => type === "phase");
  return first ? Math.max(0, startOf(first) - LEAD_MS) : 0;
}

function lastOf(history: readonly HistoryEvent[]): number {
  let last = 1000;
  for (const event of history) {
    const end = endOf(event);
    if (Number.isFinite(end)) last = Math.max(last, end);
  }
  return last;
}

/** Names stand on two lines by turns: a short phase is narrower than its name. */
function phaseBands(phases: readonly PhaseEvent[], axis: TimeAxis, bottom: number): string {
  const free = [-Infinity, -Infinity];
  return phases
    .map(({ phase, at }, index) => {
      const from = axis.x(at);
      const width = axis.x(phases[index + 1]?.at ?? axis.toMs) - from;
      const row = index % 2;
      const shown = from >= (free[row] ?? 0) && from + widthOf(phase) <= WIDTH;
      if (shown) free[row] = from + widthOf(phase) + 8;
      const name = shown ? `<text x="${(from + 3).toFixed(1)}" y="${12 + 13 * row}">${escaped(phase)}</text>` : "";
      return `<rect class="phase p${row}" x="${from.toFixed(1)}" y="0" width="${width.toFixed(1)}" height="${bottom.toFixed(1)}"><title>${escaped(phase)} from ${duration(at)}</title></rect>${name}`;
    })
    .join("");
}

/** A line for each violation, numbered as in the list below; numbers that would touch are left out. */
function marks(violations: readonly Violation[], axis: TimeAxis, bottom: number): string {
  let free = -Infinity;
  return violations
    .map((violation, index) => ({ index, atMs: momentOf(violation) }))
    .slice(0, MARKS_MAX)
    .toSorted((a, b) => a.atMs - b.atMs)
    .map(({ index, atMs }) => {
      const x = axis.x(atMs);
      const shown = x >= free;
      if (shown) free = x + 20;
      const number = shown ? `<text class="mark" x="${x.toFixed(1)}" y="42">${index + 1}</text>` : "";
      return `<line class="mark" x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="46" y2="${bottom.toFixed(1)}"/>${number}`;
    })
    .join("");
}

/** Of the last event that shows it: then it was broken. */
export function momentOf(violation: Violation): number {
  const last = violation.events.at(-1);
  if (!last) return 0;
  const end = endOf(last);
  return Number.isFinite(end) ? end : startOf(last);
}

/** Marked below all lanes, which end at `y`. */
export function timeTicks(axis: TimeAxis, y: number): string {
  const stepMs = stepOf((axis.toMs - axis.fromMs) / TICKS);
  const drawn: string[] = [];
  for (let at = Math.ceil(axis.fromMs / stepMs) * stepMs; at <= axis.toMs; at += stepMs) {
    const x = axis.x(at).toFixed(1);
    drawn.push(
      `<line class="grid" x1="${x}" x2="${x}" y1="${y - 4}" y2="${y}"/><text class="time" x="${x}" y="${y + 12}">${timeLabel(at, stepMs)}</text>`,
    );
  }
  return drawn.join("");
}

function stepOf(atLeastMs: number): number {
  const steps = [1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000, 3_600_000];
  return steps.find((step) => step >= atLeastMs) ?? 7_200_000;
}

/** In minutes where every tick is a whole one. */
function timeLabel(atMs: number, stepMs: number): string {
  return stepMs % 60_000 === 0 ? `${atMs / 60_000} min` : `${atMs / 1000} s`;
}
