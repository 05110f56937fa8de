/** Through npm one Ctrl-C arrives twice: from the terminal, and passed on. Only a later one means impatience. */
const ECHO_MS = 1500;

/**
 * An abort signal for the life of a process: aborted by the first SIGINT or SIGTERM, or when the process that forked
 * this one is gone. A later signal ends the process at once, for a shutdown that hangs.
 */
export function shutdownSignal(): AbortSignal {
  const controller = new AbortController();
  let stoppedAtMs = 0;
  const stop = (reason: string) => {
    if (!controller.signal.aborted) {
      stoppedAtMs = performance.now();
      controller.abort(reason);
    } else if (performance.now() - stoppedAtMs > ECHO_MS) {
      process.exit(130);
    }
  };
  process.on("SIGINT", () => stop("SIGINT"));
  process.on("SIGTERM", () => stop("SIGTERM"));
  if (process.channel) {
    // Only a lost parent aborts here: the channel of a child is otherwise never closed.
    process.on("disconnect", () => stop("parent gone"));
    process.channel.unref();
  }
  return controller.signal;
}
