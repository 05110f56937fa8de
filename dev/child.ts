import { spawn, spawnSync, type ChildProcess, type StdioOptions } from "node:child_process";
import { appendFileSync, closeSync, openSync, readFileSync } from "node:fs";
import { sleep, type Clock } from "../kernel/clock.ts";
import { DeadlineExceeded, within } from "../kernel/deadline.ts";

/** How long a process may take to end by itself before it is killed. */
const END_GRACE_MS = 8000;
/** How much of a log is quoted when a process failed. */
const TAIL_LINES_MAX = 12;
const READY_POLL_MS = 50;
/** Silence for longer looks like something that hangs; less would tell of starts that go as they should. */
const SLOW_MS = 3000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  /** What it is called in messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment: of ours only PATH is passed on. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Takes its standard output and error, appended. */
  readonly logFile: string;
  /** Default `file`: the process has the log file itself. With `pipe` we write what it says, and it may have no file at all. */
  readonly logBy?: "file" | "pipe";
  /** Opens an IPC channel, by which a Node process hears of our end. */
  readonly ipc?: boolean;
  readonly clock: Clock;
}

export interface Child {
  readonly name: string;
  readonly pid: number;
  readonly exited: Promise<Exit>;
  running(): boolean;
  /** The end of its log, for messages. */
  logTail(): string;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL after a grace time; resolves once it is gone. */
  end(): Promise<void>;
}

/**
 * Starts a process in a group of its own, so that Ctrl-C reaches it through us alone, and on Linux so that the kernel
 * ends it when we are killed. Rejects when it cannot be started at all.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const { name, clock, cwd, logFile, logBy = "file" } = options;
  const log = openSync(logFile, "a", 0o600);
  const output = logBy === "file" ? log : "pipe";
  const stdio: StdioOptions = options.ipc ? ["ignore", output, output, "ipc"] : ["ignore", output, output];
  const [command, args] = bindToOurLife(options.command, options.args);
  const env = { PATH: process.env["PATH"], ...options.env };
  let child: ChildProcess;
  try {
    child = spawn(command, args, { cwd, env, stdio, detached: true });
  } finally {
    closeSync(log);
  }

  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => appendFileSync(logFile, chunk));
  const exited = new Promise<Exit>((resolve) => {
    // Of pipes "close" is told later: the last words are in the log by then.
    child.once(logBy === "pipe" ? "close" : "exit", (code, signal) => resolve({ code, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (cause) => reject(new Error(`${name} could not be started: ${cause.message}`, { cause })));
  });
  if (child.pid === undefined) throw new Error(`${name} could not be started: it has no process id`);

  const running = () => child.exitCode === null && child.signalCode === null;
  return {
    name,
    pid: child.pid,
    exited,
    running,
    logTail: () => tailOf(logFile),
    kill(signal) {
      child.kill(signal);
    },
    async end() {
      if (!running()) return;
      child.kill("SIGTERM");
      try {
        await within(clock, END_GRACE_MS, `the end of ${name}`, exited);
      } catch (error) {
        if (!(error instanceof DeadlineExceeded)) throw error;
        child.kill("SIGKILL");
        await exited;
      }
    },
  };
}

export interface ReadyOptions {
  readonly budgetMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** Why it is not ready yet, for people; undefined once it is. Never rejects. */
  readonly probe: () => Promise<string | undefined>;
  /** Told the reason, and what it has become when it changes, of a process that takes longer than SLOW_MS. */
  readonly onSlow?: ((reason: string) => void) | undefined;
}

/**
 * Waits until a process answers. Rejects, with the end of its log, when it ends before that or takes too long, and when
 * `signal` aborts; the process is then gone.
 */
export async function untilReady(child: Child, options: ReadyOptions): Promise<void> {
  const { budgetMs, clock, signal, probe, onSlow } = options;
  const startedAt = clock.monotonic();
  let told: string | undefined;
  for (;;) {
    const reason = await probe();
    // The second look tells our process from another one that answers in its place.
    if (reason === undefined && child.running()) return;
    if (!child.running()) {
      throw new Error(`${child.name} ${describeExit(await child.exited)} at start. Its log ends:\n${child.logTail()}`);
    }
    const waitedMs = clock.monotonic() - startedAt;
    if (signal?.aborted || waitedMs > budgetMs) {
      await child.end();
      signal?.throwIfAborted();
      throw new Error(
        `${child.name} was not ready within ${budgetMs} ms: ${reason}\nIts log ends:\n${child.logTail()}`,
      );
    }
    if (reason !== undefined && reason !== told && waitedMs >= SLOW_MS) {
      onSlow?.(reason);
      told = reason;
    }
    await sleep(clock, READY_POLL_MS, signal);
  }
}

/** How a process ended, as part of a sentence. */
export function describeExit({ code, signal }: Exit): string {
  return signal === null ? `exited with ${code}` : `was ended by ${signal}`;
}

/**
 * Through setpriv (util-linux), where it is there: the kernel sends SIGKILL when our process dies, whatever the way.
 * setpriv replaces itself by the command, so the pid is the command's own.
 */
function bindToOurLife(command: string, args: readonly string[]): [string, readonly string[]] {
  if (!hasParentDeathSignal()) return [command, args];
  return ["setpriv", ["--pdeathsig", "KILL", "--", command, ...args]];
}

/** Whether this system lets a process ask to be killed when the one that started it dies. */
export function hasParentDeathSignal(): boolean {
  if (process.platform !== "linux") return false;
  const { status } = spawnSync("setpriv", ["--pdeathsig", "KILL", "--", "true"], { stdio: "ignore" });
  return status === 0;
}

/** The end of a log, for messages. */
export function tailOf(file: string): string {
  return readFileSync(file, "utf8").trimEnd().split("\n").slice(-TAIL_LINES_MAX).join("\n");
}
