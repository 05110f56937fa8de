import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { GUARANTEES } from "../guarantees/index.ts";
import type { Violation } from "../guarantees/guarantee.ts";
import type { HistoryEvent, RunEvent } from "../history/event.ts";
import { renderReport } from "../report/report.ts";
import { tellResult } from "./tell.ts";

export interface Verdict {
  readonly violations: readonly Violation[];
  /** For the terminal. */
  readonly text: string;
}

export interface Checked {
  readonly run: RunEvent;
  readonly history: readonly HistoryEvent[];
  readonly historyFile: string;
  /** Where the report is written; left out, none is. */
  readonly folder?: string;
}

/** Holds a history against every guarantee, and writes its report. */
export function judge({ run, history, historyFile, folder }: Checked): Verdict {
  const results = GUARANTEES.map((guarantee) => ({
    ...guarantee,
    violations: guarantee.check(history),
    judgedCount: guarantee.judged(history),
  }));
  const violations = results.flatMap((result) => result.violations);
  const reportFile = folder === undefined ? undefined : join(folder, "report.html");
  if (reportFile !== undefined) {
    writeFileSync(reportFile, renderReport({ run, history, violations, guarantees: results }));
  }
  const text = tellResult({
    run,
    history,
    violations,
    guarantees: results,
    historyFile,
    ...(reportFile === undefined ? {} : { reportFile }),
  });
  return { violations, text };
}
