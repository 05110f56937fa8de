import { readFileSync } from "node:fs";

/** Of the times in /proc; the same on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU time that a process has used so far, in user and kernel, all threads. Linux only. */
export function cpuSecondsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  // proc(5): after the name in parentheses the state is field 3; utime and stime are fields 14 and 15.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident memory of a process in MB (10^6 bytes): now, and the most so far. */
export function memoryOf(pid: number): { readonly rssMb: number; readonly peakMb: number } {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const read = (field: string) => {
    const kib = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1];
    if (kib === undefined) throw new Error(`/proc/${pid}/status has no ${field}`);
    return (Number(kib) * 1024) / 1e6;
  };
  return { rssMb: read("VmRSS"), peakMb: read("VmHWM") };
}
