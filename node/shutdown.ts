/**
 * An abort signal for the life of a process: aborted by the first SIGINT or SIGTERM, or when the process that forked
 * this one is gone. A second signal ends the process at once, for a shutdown that hangs.
 */
export function shutdownSignal(): AbortSignal {
  const controller = new AbortController();
  const stop = (reason: string) => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(reason);
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
