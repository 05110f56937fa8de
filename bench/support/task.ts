import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Stage } from "./stage.ts";
import type { TaskAnswer, TaskMethods, TaskRequest } from "./task-process.ts";

/** How long a task may take to end by itself. */
const END_GRACE_MS = 3000;

/** A part of a workload in a process of its own, so that its work is not taken for that of what is measured. */
export interface Task<Methods extends TaskMethods> {
  readonly pid: number;
  /** Rejects with the task's error, and when its process ends. */
  call<Name extends keyof Methods & string>(
    name: Name,
    input: Parameters<Methods[Name]>[0],
  ): Promise<Awaited<ReturnType<Methods[Name]>>>;
  /** SIGKILL: for a process whose death is the measurement. */
  kill(): Promise<void>;
  close(): Promise<void>;
}

/** Starts a module that calls `serveTask`; `module` is relative to `base` (`import.meta.url`). */
export function startTask<Methods extends TaskMethods>(stage: Stage, base: string, module: string): Task<Methods> {
  // Detached, so that Ctrl-C in a terminal reaches it through us alone; it ends by itself when we are gone.
  const child: ChildProcess = fork(fileURLToPath(new URL(module, base)), { detached: true, serialization: "advanced" });
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let calls = 0;

  child.on("message", (message: unknown) => {
    const answer = message as TaskAnswer;
    const caller = waiting.get(answer.call);
    waiting.delete(answer.call);
    if ("error" in answer) caller?.reject(new Error(`${module}: ${answer.error}`));
    else caller?.resolve(answer.output);
  });
  child.once("exit", (code, signal) => {
    for (const caller of waiting.values()) caller.reject(new Error(`${module} ended (${signal ?? code})`));
    waiting.clear();
  });
  if (child.pid === undefined) throw new Error(`${module} could not be started`);

  return stage.own({
    pid: child.pid,
    call(name, input) {
      const caller = Promise.withResolvers<unknown>();
      if (!child.connected) return Promise.reject(new Error(`${module} has ended`));
      const call = calls++;
      waiting.set(call, caller);
      child.send({ call, name, input } satisfies TaskRequest);
      return caller.promise as never;
    },
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      if (child.connected) child.disconnect();
      const cancel = stage.clock.after(END_GRACE_MS, () => child.kill("SIGKILL"));
      await exited;
      cancel();
    },
  });
}
