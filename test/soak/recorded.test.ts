import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { SETTINGS_DEFAULT } from "../chaos/guarantees/view.ts";
import type { HistoryEvent } from "../chaos/history/event.ts";
import { temporaryFolder } from "../support/folder.ts";
import { readSoak, READINGS } from "./recorded.ts";

const run: HistoryEvent = {
  type: "run",
  seed: 4,
  minutes: 2,
  versions: {},
  settings: SETTINGS_DEFAULT,
};
const churned: HistoryEvent = { type: "phase", at: 500, phase: "faults" };
const healed: HistoryEvent = { type: "phase", at: 900, phase: "healed" };

function left(history: readonly HistoryEvent[]): string {
  const folder = temporaryFolder();
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "history.jsonl"), history.map((event) => `${JSON.stringify(event)}\n`).join(""));
  writeFileSync(join(folder, READINGS), "[]");
  return folder;
}

it("what a soak has left is judged from where its churn began to where it ended", () => {
  expect(readSoak(left([run, churned, healed]))).toMatchObject({ fromMs: 500, toMs: 900, run, readings: [] });
});

it("a soak that did not come to its end is not judged", () => {
  expect(() => readSoak(left([run, churned]))).toThrow('the history ends before "healed"');
  expect(() => readSoak(left([churned, healed]))).toThrow("does not say what ran");
  expect(() => readSoak(temporaryFolder())).toThrow("history.jsonl");
});
