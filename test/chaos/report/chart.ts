import { escaped } from "./html.ts";
import type { Point, Series } from "./series.ts";

// The page's own units, which the browser scales to its width.
export const WIDTH = 1200;
/** Of the names at the left. */
const LABELS = 190;
const RIGHT = 24;
const LEGEND_LINE = 13;
const TITLE = 16;
const CHARACTER = 6.1;

export interface TimeAxis {
  readonly fromMs: number;
  readonly toMs: number;
  x(atMs: number): number;
}

export function timeAxis(fromMs: number, toMs: number): TimeAxis {
  const scale = (WIDTH - LABELS - RIGHT) / Math.max(1, toMs - fromMs);
  return { fromMs, toMs, x: (atMs) => LABELS + (Math.min(Math.max(atMs, fromMs), toMs) - fromMs) * scale };
}

/** One strip of the timeline, drawn from y = 0 downwards. */
export interface Lane {
  readonly height: number;
  readonly body: string;
}

export interface ChartOptions {
  readonly title: string;
  readonly series: readonly Series[];
  readonly axis: TimeAxis;
  readonly height?: number;
  readonly scale?: "linear" | "log";
  /** Values above are drawn at the upper edge. */
  readonly max?: number;
  readonly format?: (value: number) => string;
  /** Milliseconds without a point, after which a line is broken. */
  readonly gapMs?: number;
  readonly shape?: "line" | "area";
}

/** Lines over time, with their names and a scale. */
export function chartLane(options: ChartOptions): Lane {
  const { title, series, axis, scale = "linear", gapMs = Infinity, shape = "line", format = shortNumber } = options;
  const shown = series.filter(({ points }) => points.length > 0);
  const height = Math.max(options.height ?? 70, TITLE + LEGEND_LINE * shown.length + 6);
  const largest = Math.max(
    0,
    ...shown.map(({ points }) => points.reduce((most, [, value]) => Math.max(most, value), 0)),
  );
  const top = Math.min(options.max ?? Infinity, scale === "log" ? Math.max(10, largest) : niceAbove(largest));
  const part = (value: number) => {
    const within = Math.min(Math.max(value, 0), top);
    return scale === "log" ? Math.log10(1 + within) / Math.log10(1 + top) : within / top;
  };
  const y = (value: number) => height - 4 - part(value) * (height - 12);
  const ticks = scale === "log" ? decades(top) : [top / 2, top];
  const grid = ticks.map((tick) => gridLine(axis, y(tick), format(tick)));
  const lines = shown.map(({ points }, index) => {
    const runs = runsOf(points, gapMs);
    const paths = runs.map((run) => pathOf(run, axis, y, shape === "area" ? y(0) : undefined));
    return `<path class="${shape} c${index % 10}" d="${paths.join(" ")}"/>`;
  });
  const base = `<line class="base" x1="${LABELS}" x2="${WIDTH - RIGHT}" y1="${y(0)}" y2="${y(0)}"/>`;
  return { height, body: [laneTitle(title), legend(shown), base, ...grid, ...lines].join("\n") };
}

export function laneTitle(title: string): string {
  return `<text class="title" x="0" y="11">${escaped(title)}</text>`;
}

function legend(series: readonly Series[]): string {
  return series
    .map(({ name }, index) => {
      const y = TITLE + LEGEND_LINE * index;
      return `<rect class="dot c${index % 10}" x="0" y="${y}" width="8" height="8" rx="2"/><text x="13" y="${y + 8}">${escaped(clipped(name, LABELS - 50))}</text>`;
    })
    .join("");
}

function gridLine(axis: TimeAxis, y: number, label: string): string {
  const x = axis.x(axis.fromMs);
  return `<line class="grid" x1="${x}" x2="${WIDTH - RIGHT}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}"/><text class="tick" x="${x - 4}" y="${(y + 3.5).toFixed(1)}">${escaped(label)}</text>`;
}

function runsOf(points: readonly Point[], gapMs: number): Point[][] {
  const runs: Point[][] = [];
  let last = -Infinity;
  for (const point of points) {
    if (point[0] - last > gapMs || runs.length === 0) runs.push([]);
    runs.at(-1)?.push(point);
    last = point[0];
  }
  return runs;
}

/** A run of one point is drawn as a dot: a line of no length with round ends. */
function pathOf(run: readonly Point[], axis: TimeAxis, y: (value: number) => number, floor?: number): string {
  const at = ([atMs, value]: Point) => `${axis.x(atMs).toFixed(1)} ${y(value).toFixed(1)}`;
  const [first = [0, 0], ...rest] = run;
  const last = run.at(-1) ?? first;
  const line = `M${at(first)}${rest.length === 0 ? "h0" : rest.map((point) => `L${at(point)}`).join("")}`;
  if (floor === undefined) return line;
  return `${line}L${axis.x(last[0]).toFixed(1)} ${floor}L${axis.x(first[0]).toFixed(1)} ${floor}Z`;
}

function decades(top: number): number[] {
  const ticks: number[] = [];
  for (let tick = 10; tick <= top; tick *= 10) ticks.push(tick);
  // More than four would stand on each other.
  return ticks.slice(-4);
}

function niceAbove(value: number): number {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * ([1, 1.5, 2, 3, 5, 7.5, 10].find((step) => step * unit >= value) ?? 10);
}

function shortNumber(value: number): string {
  return value >= 10_000 ? `${Math.round(value / 1000)}k` : String(Number(value.toPrecision(3)));
}

/** About as wide as `width`; fonts differ, and so the room between labels is generous. */
export function clipped(text: string, width: number): string {
  const countMax = Math.max(3, Math.floor(width / CHARACTER));
  return text.length <= countMax ? text : `${text.slice(0, countMax - 1)}…`;
}

export function widthOf(text: string): number {
  return text.length * CHARACTER;
}

export interface Bar {
  readonly label: string;
  /** Told when pointed at. */
  readonly told: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly className: string;
}

const ROW = 15;

/** Bars over time, each with its name within or beside it, in as many rows as keep them apart. */
export function barLane(title: string, bars: readonly Bar[], axis: TimeAxis): Lane {
  const ends: number[] = [];
  const drawn = bars.map((bar) => {
    const x = axis.x(bar.fromMs);
    const width = Math.max(3, axis.x(bar.toMs) - x);
    const label = widthOf(bar.label) + 8;
    const within = label <= width;
    const right = x + width;
    // At the right edge the name stands before its bar.
    const before = !within && right + label > WIDTH;
    const start = before ? x - label : x;
    const end = within || before ? right : right + label;
    let row = ends.findIndex((taken) => taken <= start);
    if (row < 0) row = ends.length;
    ends[row] = end + 4;
    const y = row * ROW;
    const textX = within ? x + 4 : before ? x - 4 : right + 4;
    const anchor = before ? ' text-anchor="end"' : "";
    return `<g><title>${escaped(bar.told)}</title><rect class="bar ${bar.className}" x="${x.toFixed(1)}" y="${y + 1}" width="${width.toFixed(1)}" height="${ROW - 3}" rx="2"/><text class="${within ? "in" : "by"}" x="${textX.toFixed(1)}" y="${y + 10.5}"${anchor}>${escaped(bar.label)}</text></g>`;
  });
  return { height: Math.max(1, ends.length) * ROW + 4, body: [laneTitle(title), ...drawn].join("\n") };
}

/** One row each, by name, with bars where something is the matter. */
export function rowLane(
  title: string,
  rows: readonly { readonly name: string; readonly bars: readonly Bar[] }[],
  axis: TimeAxis,
): Lane {
  const drawn = rows.map(({ name, bars }, index) => {
    const y = TITLE + index * ROW;
    const left = axis.x(axis.fromMs);
    const rects = bars.map((bar) => {
      const x = axis.x(bar.fromMs);
      const width = Math.max(2, axis.x(bar.toMs) - x);
      return `<rect class="bar ${bar.className}" x="${x.toFixed(1)}" y="${y + 2}" width="${width.toFixed(1)}" height="${ROW - 6}"><title>${escaped(bar.told)}</title></rect>`;
    });
    return `<text x="13" y="${y + 10}">${escaped(clipped(name, LABELS - 20))}</text><rect class="well" x="${left}" y="${y + 2}" width="${WIDTH - RIGHT - left}" height="${ROW - 6}"/>${rects.join("")}`;
  });
  return { height: TITLE + rows.length * ROW + 4, body: [laneTitle(title), ...drawn].join("\n") };
}
