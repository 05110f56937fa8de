import { readFileSync, readdirSync } from "node:fs";

/** A process by its id and its start, since ids are used again. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startedAt: string;
}

interface Stat extends ProcessIdentity {
  readonly state: string;
  readonly parent: number;
}

/** Every process below `pid`, as it is now; Linux only. */
export function descendantsOf(pid: number): readonly ProcessIdentity[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => statOf(Number(name)) ?? []);
  const found: Stat[] = [];
  for (let parents = new Set([pid]); parents.size > 0;) {
    const children = all.filter(({ parent }) => parents.has(parent));
    found.push(...children);
    parents = new Set(children.map((child) => child.pid));
  }
  return found;
}

/** Those that still run. One that ended and was not yet reaped by the system's first process is gone. */
export function stillRunning(processes: readonly ProcessIdentity[]): readonly number[] {
  return processes.flatMap(({ pid, startedAt }) => {
    const stat = statOf(pid);
    return stat && stat.startedAt === startedAt && stat.state !== "Z" ? [pid] : [];
  });
}

function statOf(pid: number): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    // It ended since it was listed.
    return undefined;
  }
  // proc(5): after the name in parentheses come the state, the parent and, 19 fields later, the start.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { pid, state: fields[0] ?? "", parent: Number(fields[1]), startedAt: fields[19] ?? "" };
}
