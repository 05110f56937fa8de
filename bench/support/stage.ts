import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep, systemClock, type Clock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";

interface Closable {
  close(): Promise<void>;
}

/** What one measurement runs on: everything it starts is owned here, and ends here. */
export interface Stage {
  /** A folder of its own, which goes with the stage. */
  readonly dir: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Tells progress, on standard error. */
  say(line: string): void;
  /** Closed with the stage, last first; at once when the stage is closed already. */
  own<Part extends Closable>(part: Part): Part;
  /** Rejects when the run is given up. */
  pause(ms: number): Promise<void>;
  close(): Promise<void>;
}

export function createStage(name: string, signal: AbortSignal): Stage {
  const dir = mkdtempSync(join(tmpdir(), `fingerpost-bench-${name}-`));
  const parts: Closable[] = [];
  const startedAt = performance.now();
  let closed = false;

  const say = (line: string) => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
    console.error(`${seconds} s  ${name}: ${line}`);
  };
  const end = async (part: Closable) => {
    try {
      await part.close();
    } catch (error) {
      // The others must still be ended.
      say(`a part did not end well: ${messageOf(error)}`);
    }
  };
  return {
    dir,
    clock: systemClock,
    signal,
    say,
    own(part) {
      if (closed) void end(part);
      else parts.push(part);
      return part;
    },
    async pause(ms) {
      await sleep(systemClock, ms, signal);
      signal.throwIfAborted();
    },
    async close() {
      closed = true;
      for (let part = parts.pop(); part; part = parts.pop()) await end(part);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
