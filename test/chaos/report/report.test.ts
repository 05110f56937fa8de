import { expect, test } from "vitest";
import { SETTINGS_DEFAULT } from "../guarantees/view.ts";
import type { HistoryEvent, ReadEvent, RunEvent } from "../history/event.ts";
import { renderReport } from "./report.ts";

const run: RunEvent = {
  type: "run",
  seed: 7,
  minutes: 1,
  command: "npm run chaos -- --seed 7 --minutes 1",
  versions: { etcd: "3.4.23" },
  settings: SETTINGS_DEFAULT,
};
const read: ReadEvent = {
  type: "read",
  reader: "http-1",
  by: "http",
  resolver: "worker",
  life: 1,
  service: "steady-1",
  from: 4000,
  to: 4005,
  status: 503,
  error: "<script>alert(1)</script>",
};
const guarantees = [
  { name: "availability", promise: "An answer always.", judgedCount: 2 },
  { name: "isolation", promise: "etcd sees no lookup.", judgedCount: 0 },
] as const;
const history: readonly HistoryEvent[] = [
  run,
  { type: "phase", at: 0, phase: "warm-up" },
  { type: "phase", at: 2000, phase: "faults" },
  { type: "fault", id: 1, name: "redis-kill", target: "redis", detail: {}, from: 3000 },
  read,
  { ...read, from: 4100, to: 4101, status: 200, ageMs: 800, stale: false },
  { type: "fault", id: 1, name: "redis-kill", target: "redis", detail: {}, from: 3000, to: 5000 },
  { type: "commit", at: 2500, server: "redis", namespace: "default", epoch: 1, revision: 2 },
  { type: "phase", at: 6000, phase: "end" },
];
const page = (violations: Parameters<typeof renderReport>[0]["violations"], events = history) =>
  renderReport({ run, history: events, violations, guarantees });

test("a report is one file: nothing is loaded and nothing runs", () => {
  const html = page([]);
  expect(html).not.toMatch(/<script|<link|<img|src=|href=|url\(|@import/);
  expect(html).toContain("every guarantee held");
  expect(html).toContain("npm run chaos -- --seed 7 --minutes 1");
});

test("what is broken stands at the top, in the timeline, and with its events and the faults under way", () => {
  const html = page([{ guarantee: "availability", what: "worker did not answer steady-1.", events: [read] }]);
  expect(html).toContain("broken: availability");
  expect(html).toContain('<text class="mark"');
  expect(html).toContain("worker did not answer steady-1.");
  expect(html).toContain("http-1 (http) asked worker (life 1) for steady-1: 503");
  expect(html).toContain("fault 1: redis-kill on redis");
});

test("what processes said stays text", () => {
  const html = page([{ guarantee: "availability", what: "<b>no</b>", events: [read] }]);
  expect(html).not.toContain("<script>");
  expect(html).toContain("&lt;script&gt;");
  expect(html).toContain("&lt;b&gt;no&lt;/b&gt;");
});

test("no drawn number is none, also in a history of almost nothing", () => {
  for (const events of [history, [run]]) {
    const html = page([], events);
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
  }
});
