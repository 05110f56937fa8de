import { messageOf } from "../../../kernel/errors.ts";
import { seededRandom } from "../../support/random.ts";
import type { Fleet, FleetProcess } from "../fleet/fleet.ts";
import { limitFiles } from "./disk.ts";

/**
 * Every line is open, every process runs, every clock is right, whatever was done to them; what could not be done is
 * given. Faults undo what they did: this is for those that could not, and for a run that ends in the middle.
 */
export async function healAll(fleet: Fleet): Promise<readonly string[]> {
  const problems: string[] = [];
  const attempt = async (what: string, task: () => Promise<unknown>) => {
    try {
      await task();
    } catch (error) {
      problems.push(`${what}: ${messageOf(error)}`);
    }
  };
  for (const { name, proxy } of fleet.lines) {
    proxy.blackhole(false);
    proxy.shape(undefined);
    proxy.cutWithin(undefined, seededRandom(0));
    await attempt(`line ${name} stays shut`, () => proxy.refuse(false));
  }
  for (const { front } of fleet.fronts) front.mode({ type: "pass" }, 0, seededRandom(0));
  const isStore = ({ kind }: FleetProcess) => kind === "etcd" || kind === "redis";
  // At once, since members of etcd wait for each other, and the stores before those that ask them.
  for (const group of [fleet.processes.filter(isStore), fleet.processes.filter((one) => !isStore(one))]) {
    await Promise.all(group.map((one) => attempt(`${one.name} does not run`, () => run(one))));
  }
  await Promise.all([
    ...fleet.resolvers.map(({ name }) => attempt(`the clock of ${name}`, () => fleet.setClockOffset(name, 0))),
    ...fleet.agents.map((agent) => attempt(`the disk of ${agent.name}`, () => limitFiles(agent, "unlimited"))),
  ]);
  return problems;
}

async function run(one: FleetProcess): Promise<void> {
  if (one.state() === "paused") one.resume();
  await one.start();
}
