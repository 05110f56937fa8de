import { readFileSync } from "node:fs";
import type { Cancel, Clock } from "../kernel/clock.ts";

const POLL_MS = 500;
/** From npm down to us there may be a shell or two: our own script replaces its shell, and another one may not. */
const LINKS_MAX = 8;

interface Link {
  readonly pid: number;
  readonly parent: number;
}

export interface ParentsOptions {
  readonly clock: Clock;
  /** Whether npm started us: then the watch goes up to the process that started npm. */
  readonly throughNpm: boolean;
  /** Called once, when a process of the chain is gone. */
  readonly onGone: () => void;
}

/**
 * Watches the process that started us. Through npm there are npm and perhaps a shell in between, and any of them may be
 * what is killed; a process whose parent died has another parent from then on, so that shows even for one that nobody reaps.
 */
export function watchParents({ clock, throughNpm, onGone }: ParentsOptions): Cancel {
  const links = chain(throughNpm);
  let cancel: Cancel = () => undefined;
  const poll = () => {
    if (links.some(({ pid, parent }) => parentOf(pid) !== parent)) onGone();
    else cancel = clock.after(POLL_MS, poll);
  };
  cancel = clock.after(POLL_MS, poll);
  return () => cancel();
}

/** Each process with its parent, from us up. A parent of 1 is the system's first process: it was not started by us. */
function chain(throughNpm: boolean): readonly Link[] {
  const links: Link[] = [{ pid: process.pid, parent: process.ppid }];
  if (!throughNpm) return links;
  while (links.length < LINKS_MAX) {
    const pid = links.at(-1)?.parent ?? 1;
    const parent = parentOf(pid);
    if (pid <= 1 || parent === undefined) return links;
    links.push({ pid, parent });
    if (isNpm(pid)) return links;
  }
  // No npm among them: what its variables said was inherited from further away.
  return links.slice(0, 1);
}

/** The parent of a live process. Of others than ourselves only Linux tells it without starting a process. */
function parentOf(pid: number): number | undefined {
  if (pid === process.pid) return process.ppid;
  try {
    // The second field is the command's name in parentheses, which may hold anything.
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return state === "Z" ? undefined : Number(parent);
  } catch {
    // It is gone, or this system has no /proc.
    return undefined;
  }
}

/** npm calls itself "npm run dev", or "npm exec ..."; before it does, its script is npm's. */
function isNpm(pid: number): boolean {
  try {
    return /(^|[/\s\0])(npm|npx|npm-cli\.js|npx-cli\.js)([\s\0]|$)/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  } catch {
    return false;
  }
}
