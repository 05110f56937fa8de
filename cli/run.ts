import type { Log } from "../node/log.ts";

/** A process as its composition root returns it. */
export interface Running {
  close(): Promise<void>;
}

/** Starts a process, waits for the signal that ends it, and closes it. */
export async function untilShutdown(log: Log, signal: AbortSignal, start: () => Promise<Running>): Promise<void> {
  const running = await start();
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  log.info({ reason: String(signal.reason) }, "shutting down");
  await running.close();
  log.info("stopped");
}
