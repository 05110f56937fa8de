import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { FleetProcess } from "../fleet/fleet.ts";
import { choose } from "./draw.ts";
import type { Fault } from "./fault.ts";

const execute = promisify(execFile);

/**
 * A limit to the size of its files stands in for a disk without room, which takes root or a file system of its own: each
 * write fails at the same place, as EFBIG rather than ENOSPC, and files can still be made, renamed and removed.
 */
const full: Fault = {
  name: "agent-disk-full",
  about: "There is no room left in the state directory of an agent: nothing more can be written to it.",
  touches: ["agents"],
  async begin({ agents }, random) {
    const agent = choose(random, agents);
    await limitFiles(agent, "0");
    return { target: agent.name, end: () => limitFiles(agent, "unlimited") };
  },
};

export const DISK_FAULTS: readonly Fault[] = [full];

/** The soft limit only, which a process of the same user may raise again. One that is gone has taken it along. */
export async function limitFiles(agent: FleetProcess, bytes: "0" | "unlimited"): Promise<void> {
  if (agent.state() === "gone") return;
  await execute("prlimit", ["--pid", String(agent.pid()), `--fsize=${bytes}:`]);
}
