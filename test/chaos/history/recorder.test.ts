import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createManualClock } from "../../support/clock.ts";
import { createRecorder, readHistory } from "./recorder.ts";
import { watchStalls } from "./stalls.ts";

function recording() {
  const dir = mkdtempSync(join(tmpdir(), "fingerpost-history-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const clock = createManualClock();
  const path = join(dir, "history.jsonl");
  const recorder = createRecorder({ path, clock });
  onTestFinished(() => recorder.close());
  return { clock, path, recorder };
}

test("a run that crashes leaves every event that it learnt, and not the one that was cut off", async () => {
  const { clock, path, recorder } = recording();
  recorder.record({ type: "phase", at: recorder.at(), phase: "warm-up" });
  await clock.advance(1500);
  recorder.record({ type: "phase", at: recorder.at(), phase: "idle" });
  // Neither closed nor flushed.
  appendFileSync(path, '{"type":"phase","at":1');
  expect(readHistory(path)).toEqual(recorder.events);
  expect(recorder.events).toEqual([
    { type: "phase", at: 0, phase: "warm-up" },
    { type: "phase", at: 1500, phase: "idle" },
  ]);
});

test.each(["half a li", "null", "[1]", '{"at":1}'])(
  "a history with the line %s is refused, and not read as far as it goes",
  (line) => {
    const { path, recorder } = recording();
    recorder.record({ type: "phase", at: 0, phase: "warm-up" });
    appendFileSync(path, `${line}\n`);
    expect(() => readHistory(path)).toThrow(SyntaxError);
  },
);

test("a process that stood still is recorded, with both times, and one that was a little late is not", async () => {
  const { clock, recorder } = recording();
  // A timer comes due when the process goes on, however long it stood: only the clock tells.
  let lateMs = 0;
  const stop = watchStalls({ ...recorder, at: () => recorder.at() + lateMs }, clock);
  onTestFinished(stop);
  await clock.advance(500);
  lateMs = 200;
  await clock.advance(500);
  expect(recorder.events).toEqual([]);
  lateMs += 2000;
  await clock.advance(500);
  expect(recorder.events).toEqual([{ type: "stall", from: 1200, to: 3250 }]);
});
