import { expect, test } from "vitest";
import type { HistoryEvent, ReadEvent } from "../history/event.ts";
import { checkAll, GUARANTEES } from "./index.ts";
import { failure, fault, life, phase, read, run, up, write } from "./story.ts";

test("the ten guarantees are checked, each by its name", () => {
  expect(GUARANTEES.map(({ name }) => name)).toEqual([
    "isolation",
    "availability",
    "never empty by accident",
    "forward only",
    "no ghosts",
    "convergence",
    "honest age",
    "single writer",
    "bounded",
    "authentication",
  ]);
});

test("an empty history breaks nothing and judges nothing", () => {
  expect(checkAll([])).toEqual([]);
  expect(GUARANTEES.map((guarantee) => guarantee.judged([]))).toEqual(GUARANTEES.map(() => 0));
});

test("violations are told in the order of the guarantees, and come from a history in any order", () => {
  const events = [
    run(),
    life("node", 0, "ready"),
    up(0),
    write("register", 100),
    read(1000, { revision: 5 }),
    read(2000, { revision: 4, ageMs: 20_000 }),
    failure(3000, { status: 404 }),
  ];
  const names = (history: readonly HistoryEvent[]) => checkAll(history).map(({ guarantee }) => guarantee);
  const broken = ["availability", "never empty by accident", "forward only", "honest age"];
  expect(names(events)).toEqual(broken);
  expect(names(events.toReversed())).toEqual(broken);
});

test("what one fault breaks a thousand times is told a bounded number of times", () => {
  const failures = Array.from({ length: 1000 }, (_, index) => failure(2000 + index * 20));
  const violations = checkAll([
    run(),
    life("node", 0, "ready"),
    up(0),
    write("register", 100),
    read(1000),
    ...failures,
  ]);
  expect(violations).toHaveLength(20);
});

test("twenty services that churn for forty minutes beside faults of an agent accuse nobody", () => {
  const services = Array.from({ length: 20 }, (_, index) => `web-${index}`);
  const events: HistoryEvent[] = [run(), phase(0, "warm-up"), phase(5000, "faults"), life("node", 0, "ready")];
  for (let index = 0; index < 40; index++) {
    events.push(fault("agent-kill", "agent-0", 6000 + index * 60_000, 9000 + index * 60_000));
  }
  for (const service of services) {
    events.push({ type: "instance", at: 0, service, instance: "web-0", change: "up" });
    events.push(write("register", 100, { service }));
    for (let at = 10_000; at < 2_400_000; at += 20_000) {
      events.push(write("deregister", at, { service, instance: "other" }));
      events.push(write("register", at + 10_000, { service, instance: "other", generation: at }));
    }
  }
  const reads: ReadEvent[] = [];
  for (let index = 0; index < 20_000; index++) {
    reads.push(
      read(6000 + index * 120, { service: services[index % 20] ?? "", revision: index, reader: `r${index % 7}` }),
    );
  }
  expect(checkAll([...events, ...reads])).toEqual([]);
});
