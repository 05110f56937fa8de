import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { startChild } from "../../../dev/child.ts";
import { systemClock } from "../../../kernel/clock.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { until } from "../../support/until.ts";
import type { FleetProcess, LifeChange } from "./fleet.ts";
import { createFleetProcess } from "./process.ts";

/** A shell that says which life it has, once it has done what is given. */
function shell(begin: (life: number) => string) {
  const cwd = temporaryFolder();
  const logFile = join(cwd, "log");
  const told: LifeChange[] = [];
  const said = (life: number) => readFileSync(logFile, "utf8").includes(`life ${life}`);
  const made: FleetProcess = createFleetProcess({
    name: "shell",
    kind: "gateway",
    url: "http://127.0.0.1:1",
    logFile,
    launch: (life) =>
      startChild({
        name: "shell",
        command: "sh",
        args: ["-c", `${begin(life)}; echo life ${life}; while :; do sleep 0.02; done`],
        env: {},
        cwd,
        logFile,
        clock: systemClock,
      }),
    probe: async () => (said(made.life()) ? undefined : "It is silent."),
    onLife: (change) => told.push(change),
    clock: systemClock,
    signal: undefined,
  });
  onTestFinished(() => made.kill());
  return { made, changes: () => told.map(({ life, change }) => `${life} ${change}`) };
}

it("a process keeps its name and its log over its lives, and tells each change of them", async () => {
  const { made, changes } = shell(() => ":");
  expect(made.state()).toBe("gone");
  expect(() => made.pid()).toThrow("shell does not run");
  await Promise.all([made.start(), made.start()]);
  const first = made.pid();
  await made.start();
  expect([made.pid(), made.life(), made.state()]).toEqual([first, 1, "running"]);
  await made.kill();
  expect(made.state()).toBe("gone");
  await made.start();
  expect([made.life(), made.logTail()]).toEqual([2, "life 1\nlife 2"]);
  expect(made.logBytes()).toBe("life 1\nlife 2\n".length);
  expect(changes()).toEqual(["1 started", "1 ready", "1 killed", "1 ended", "2 started", "2 ready"]);
});

it("a process that is paused stands still until it goes on, and ends when it is told to, whatever the signal", async () => {
  const { made, changes } = shell(() => "trap 'echo asked; exit 0' TERM");
  await made.start();
  const state = () => readFileSync(`/proc/${made.pid()}/stat`, "utf8").split(") ")[1]?.[0];
  made.pause();
  await until("the system has stopped it", () => state() === "T");
  made.resume();
  await until("it goes on", () => state() !== "T");
  made.pause();
  await made.kill("SIGTERM");
  expect([made.state(), made.logTail()]).toEqual(["gone", "life 1\nasked"]);
  expect(changes().slice(2)).toEqual(["1 paused", "1 resumed", "1 paused", "1 killed", "1 ended"]);
});

it("a process that ends by itself at its start says how, with the end of its log, and can be started again", async () => {
  const { made } = shell((life) => (life === 1 ? "echo no room; exit 3" : ":"));
  await expect(made.start()).rejects.toThrow(/shell exited with 3 at start.*no room/s);
  expect(made.state()).toBe("gone");
  await made.start();
  expect(made.life()).toBe(2);
});
