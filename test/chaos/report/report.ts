import type { HistoryEvent, RunEvent } from "../history/event.ts";
import type { Violation } from "../guarantees/guarantee.ts";
import { describeEvent, secondsOf } from "../runner/describe.ts";
import { countsOf, faultsOf, faultsUnderWay, type JudgedGuarantee } from "../runner/tell.ts";
import { escaped, table } from "./html.ts";
import { duration } from "./lanes.ts";
import { STYLE } from "./style.ts";
import { momentOf, timeline } from "./timeline.ts";

/** Violations that are listed with their events: whoever needs the others checks the history again. */
const LISTED_MAX = 100;

export interface ReportOptions {
  readonly run: RunEvent;
  readonly history: readonly HistoryEvent[];
  readonly violations: readonly Violation[];
  readonly guarantees: readonly JudgedGuarantee[];
}

/** One file that needs nothing else: what was broken, the timeline, and what was done. */
export function renderReport({ run, history, violations, guarantees }: ReportOptions): string {
  const broken = guarantees.filter(({ name }) => violations.some(({ guarantee }) => guarantee === name));
  const verdict =
    broken.length === 0
      ? `<span class="good">every guarantee held</span>`
      : `<span class="bad">broken: ${escaped(broken.map(({ name }) => name).join(", "))}</span>`;
  const build = run.broken === undefined ? "" : `, of the deliberately broken build ${escaped(run.broken)}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>chaos, seed ${run.seed}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Chaos run of seed ${run.seed}: ${verdict}</h1>
<p>${duration(run.minutes * 60_000)} of faults${build}: ${escaped(countsOf(history))}.
<span class="soft">${escaped(pairs(run.versions))}.</span></p>
${run.command === undefined ? "" : `<pre>${escaped(run.command)}</pre>`}
${section("Guarantees", guaranteeTable(guarantees, violations))}
${section("Timeline", `<div class="picture">${timeline(history, violations)}</div>`)}
${
  violations.length === 0
    ? ""
    : section(
        "What was broken",
        violations
          .slice(0, LISTED_MAX)
          .map((one, index) => violationBlock(one, index, history))
          .join("\n"),
      )
}
${section("Faults", faultTable(history))}
${section(
  "Settings",
  table(
    ["setting", "value"],
    Object.entries(run.settings).map(([name, value]) => [escaped(name), escaped(String(value))]),
  ),
)}
</body>
</html>
`;
}

function section(title: string, content: string): string {
  return `<h2>${escaped(title)}</h2>\n${content}`;
}

function guaranteeTable(guarantees: ReportOptions["guarantees"], violations: readonly Violation[]): string {
  return table(
    ["guarantee", "promise", "judged", "result"],
    guarantees.map(({ name, promise, judgedCount }) => {
      const count = violations.filter(({ guarantee }) => guarantee === name).length;
      const held = judgedCount === 0 ? `<span class="soft">not seen</span>` : `<span class="good">held</span>`;
      const result = count === 0 ? held : `<span class="bad">broken ${count}×</span>`;
      return [escaped(name), escaped(promise), String(judgedCount), result];
    }),
  );
}

function violationBlock(violation: Violation, index: number, history: readonly HistoryEvent[]): string {
  const under = faultsUnderWay(violation, history);
  const lines = [
    ...violation.events.map(describeEvent),
    ...(under.length === 0
      ? ["no fault was under way"]
      : ["under way:", ...under.map((event) => `  ${describeEvent(event)}`)]),
  ];
  return `<details${index < 3 ? " open" : ""}><summary><b class="bad">${index + 1}. ${escaped(violation.guarantee)}</b> at ${duration(momentOf(violation))}: ${escaped(violation.what)}</summary><pre>${escaped(lines.join("\n"))}</pre></details>`;
}

function faultTable(history: readonly HistoryEvent[]): string {
  const faults = faultsOf(history);
  if (faults.length === 0) return "<p>None.</p>";
  return table(
    ["", "fault", "on", "detail", "from", "for"],
    faults.map(({ id, name, target, detail, from, to }) => [
      String(id),
      escaped(name),
      escaped(target),
      escaped(pairs(detail)),
      `${secondsOf(from)} s`,
      to === undefined ? "until the end" : duration(to - from),
    ]),
  );
}

function pairs(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}
