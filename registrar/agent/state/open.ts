import type { Clock } from "../../../kernel/clock.ts";
import type { Random } from "../../../kernel/random.ts";
import type { Log } from "../../../node/log.ts";
import { openStateDirectory } from "./directory.ts";
import { createJournal, type JournalState } from "./journal.ts";
import { withoutState, type AgentState } from "./records.ts";

export interface OpenStateOptions {
  /** Without one nothing outlives this process. */
  readonly dir: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface OpenState extends AgentState {
  /** `off` without a directory. */
  status(): JournalState | { readonly type: "off" };
  /** Writes what is still to be written, and lets the next process have the directory. */
  close(): Promise<void>;
}

/** Takes the state directory, as `openStateDirectory` does, and reads what an earlier run has left there. */
export async function openState({ dir, clock, random, log }: OpenStateOptions): Promise<OpenState> {
  if (dir === undefined) {
    log.info("no state directory is set: after a restart every service has to register again");
    return { ...withoutState(), status: () => ({ type: "off" }), close: () => Promise.resolve() };
  }
  const directory = await openStateDirectory(dir, log, clock);
  const { files, stored } = directory;
  const journal = createJournal({ files, clock, random, log });
  return {
    stored,
    journal,
    status: () => journal.state(),
    async close() {
      try {
        await journal.close();
      } finally {
        directory.release();
      }
    },
  };
}
