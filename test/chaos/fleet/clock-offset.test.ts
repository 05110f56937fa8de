import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it, onTestFinished } from "vitest";
import { until } from "../../support/until.ts";
import { clockImports, setNodeClock } from "./node-clock.ts";

const HOUR_MS = 3_600_000;
/** Says both of its clocks whenever it is asked. */
const PROGRAM = `process.stdin.on("data", () => console.log(JSON.stringify(
  [Date.now(), new Date().getTime(), performance.now(), new Date(5).getTime(), new Date() instanceof Date])))`;

it("a process on Node is told another time of day, and no other monotonic one", async () => {
  const { modules, env } = clockImports("told", 1);
  const imports = modules.map((module) => `--import=${module}`);
  const child = spawn(process.execPath, [...imports, "-e", PROGRAM], {
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(async () => {
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  const ask = async () => {
    child.stdin.write("now\n");
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    return JSON.parse(line.toString()) as [number, number, number, number, boolean];
  };
  const before = await ask();
  await until("its clock is set", () => setNodeClock("told", 1, -HOUR_MS).then(() => true));
  const [now, made, monotonicMs, given, isDate] = await ask();
  expect(Math.abs(now + HOUR_MS - Date.now())).toBeLessThan(10_000);
  expect(Math.abs(made - now)).toBeLessThan(1000);
  expect(monotonicMs).toBeGreaterThan(before[2]);
  expect([given, isDate]).toEqual([5, true]);
  await setNodeClock("told", 1, 0);
  expect((await ask())[0]).toBeGreaterThanOrEqual(before[0]);
});

it("a clock that nobody can set is an error, and not silence", async () => {
  await expect(setNodeClock("nobody", 1, 5)).rejects.toThrow(/ECONNREFUSED|could not be set/);
});
