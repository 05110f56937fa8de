import type { HistoryEvent } from "../chaos/history/event.ts";
import { chartLane, timeAxis, WIDTH, type Lane } from "../chaos/report/chart.ts";
import { escaped } from "../chaos/report/html.ts";
import { bucketed, groupedByName, rateOf, type Point, type Series } from "../chaos/report/series.ts";
import { STYLE } from "../chaos/report/style.ts";
import { timeTicks } from "../chaos/report/timeline.ts";
import { QUANTITIES, type QuantityName } from "./quantities.ts";
import { median, thinned } from "./slope.ts";
import { WARM_UP_PART, type Measured, type Verdict } from "./verdict.ts";

const HEAD = 62;
const FOOT = 24;
const GAP = 12;
const BUCKETS = 120;
const AGE_PERCENTILE = 0.99;

export interface PictureOptions {
  readonly title: string;
  /** One line each, below the title. */
  readonly lines: readonly string[];
  readonly history: readonly HistoryEvent[];
  readonly measured: readonly Measured[];
  readonly verdicts: readonly Verdict[];
  readonly fromMs: number;
  readonly toMs: number;
}

/** A picture that needs nothing else and is read in light and in dark: one strip for each quantity, over the time of a soak. */
export function drawSoak({ title, lines, history, measured, verdicts, fromMs, toMs }: PictureOptions): string {
  const axis = timeAxis(0, toMs - fromMs);
  const within = (points: readonly Point[]): readonly Point[] =>
    points.filter(([at]) => at >= fromMs && at <= toMs).map(([at, value]) => [at - fromMs, value]);
  const names = [...new Set(measured.map(({ quantity }) => quantity))];
  const lanes = [
    ...trafficLanes(history, fromMs, toMs).map(({ name, series }) => chartLane({ title: name, series, axis })),
    ...names.map((quantity) =>
      chartLane({
        title: laneTitle(quantity, verdicts),
        series: measured
          .filter((one) => one.quantity === quantity)
          .map(({ process, points }) => ({ name: process, points: thinned(within(points)) })),
        axis,
      }),
    ),
  ];
  let y = HEAD;
  const drawn = lanes.map((lane: Lane) => {
    const group = `<g transform="translate(0 ${y.toFixed(1)})">${lane.body}</g>`;
    y += lane.height + GAP;
    return group;
  });
  const judgedX = axis.x((toMs - fromMs) * WARM_UP_PART);
  const left = axis.x(0);
  const height = y + FOOT;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height.toFixed(0)}" role="img" aria-label="${escaped(title)}">
<style>${STYLE} svg .head { font-size: 15px; }</style>
<rect width="${WIDTH}" height="${height.toFixed(0)}" style="fill: var(--page)"/>
<rect style="fill: var(--band)" x="${left}" y="${HEAD - 8}" width="${(judgedX - left).toFixed(1)}" height="${(y - HEAD).toFixed(1)}"/>
<text class="title head" x="0" y="16">${escaped(title)}</text>
${lines.map((line, index) => `<text x="0" y="${32 + 14 * index}">${escaped(line)}</text>`).join("\n")}
<text x="${left + 4}" y="${HEAD - 12}">warm-up, not judged</text>
${drawn.join("\n")}
${timeTicks(axis, y)}
</svg>
`;
}

function laneTitle(quantity: QuantityName, verdicts: readonly Verdict[]): string {
  const { title, unit } = QUANTITIES[quantity];
  const growing = verdicts.filter((one) => one.quantity === quantity && one.trend === "grows");
  const name = unit === "" ? title : `${title}, ${unit}`;
  return growing.length === 0 ? name : `${name}: grows`;
}

/** What went on meanwhile: the numbers below mean nothing without it. */
function trafficLanes(
  history: readonly HistoryEvent[],
  fromMs: number,
  toMs: number,
): readonly { readonly name: string; readonly series: readonly Series[] }[] {
  const bucketMs = (toMs - fromMs) / BUCKETS;
  const shifted = (points: readonly Point[]): readonly Point[] => points.map(([at, value]) => [at - fromMs, value]);
  const inTime = (at: number) => at >= fromMs && at <= toMs;
  const reads = history.filter((event) => event.type === "read").filter(({ to }) => inTime(to));
  const writes = history.filter((event) => event.type === "write").filter(({ to }) => inTime(to));
  const rates = (times: readonly number[]) => shifted(rateOf(times, fromMs, toMs, bucketMs));
  const ages = reads.filter(({ ageMs }) => ageMs !== undefined);
  return [
    {
      name: "writes a second",
      series: groupedByName(writes, ({ operation }) => operation).map(([name, own]) => ({
        name,
        points: rates(own.map(({ to }) => to)),
      })),
    },
    {
      name: "reads a second",
      series: groupedByName(reads, ({ by }) => by).map(([name, own]) => ({
        name,
        points: rates(own.map(({ to }) => to)),
      })),
    },
    {
      name: "age of answers, ms",
      series: groupedByName(ages, ({ resolver }) => resolver).flatMap(([name, own]) => {
        const grouped = Map.groupBy(own, ({ to }) => Math.floor((to - fromMs) / bucketMs));
        const pointsOf = (pick: (sorted: readonly number[]) => number): readonly Point[] =>
          [...grouped]
            .toSorted(([a], [b]) => a - b)
            .map(([bucket, all]) => [
              (bucket + 0.5) * bucketMs,
              pick(all.map(({ ageMs = 0 }) => ageMs).toSorted((a, b) => a - b)),
            ]);
        return [
          { name: `${name} p50`, points: pointsOf(median) },
          {
            name: `${name} p99`,
            points: pointsOf((sorted) => sorted[Math.floor(sorted.length * AGE_PERCENTILE)] ?? Number.NaN),
          },
        ];
      }),
    },
    {
      name: "not answered",
      series: groupedByName(
        reads.filter(({ status, by, error }) =>
          by === "http" ? status !== 200 && status !== 404 : error !== undefined,
        ),
        ({ resolver }) => resolver,
      ).map(([name, own]) => ({
        name,
        points: shifted(
          bucketed(
            own.map(({ to }): Point => [to, 1]),
            bucketMs,
            (sum, value) => sum + value,
          ),
        ),
      })),
    },
  ];
}
