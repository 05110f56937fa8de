import { describe, expect, it } from "vitest";
import { createManualClock } from "../test/support/clock.ts";
import type { Child, Exit } from "./child.ts";
import { keepRunning } from "./supervisor.ts";

function fakeChild(pid: number) {
  const { promise: exited, resolve } = Promise.withResolvers<Exit>();
  let running = true;
  const exit = (how: Exit) => {
    running = false;
    resolve(how);
  };
  const child: Child = {
    name: "etcd",
    pid,
    exited,
    running: () => running,
    logTail: () => "",
    kill: () => undefined,
    end: () => Promise.resolve(exit({ code: 0, signal: null })),
  };
  return { child, exit };
}

async function setup({ failures = 0 } = {}) {
  const clock = createManualClock();
  const said: string[] = [];
  const started: ReturnType<typeof fakeChild>[] = [];
  const lifetime = new AbortController();
  let failuresLeft = 0;
  const part = await keepRunning({
    name: "etcd",
    clock,
    say: (line) => said.push(line),
    signal: lifetime.signal,
    start: async () => {
      if (failuresLeft-- > 0) throw new Error("its port is taken");
      started.push(fakeChild(started.length + 1));
      return started.at(-1)?.child as Child;
    },
  });
  failuresLeft = failures;
  return { clock, said, started, part, lifetime };
}

describe("a part of a run", () => {
  it("that is killed is announced, and started again 15 s later", async () => {
    const { clock, said, started, part } = await setup();
    started[0]?.exit({ code: null, signal: "SIGKILL" });
    await clock.advance(14_999);
    expect(said).toEqual(["etcd (pid 1) was ended by SIGKILL; it is started again in 15 s"]);
    expect(started).toHaveLength(1);
    await clock.advance(1);
    expect(said.at(-1)).toBe("etcd runs again, pid 2");
    expect(part.pid).toBe(2);
    started[1]?.exit({ code: 1, signal: null });
    await clock.advance(15_000);
    expect(part.pid).toBe(3);
    await part.close();
  });

  it("that cannot be started again is tried until it can", async () => {
    const { clock, said, started, part } = await setup({ failures: 2 });
    started[0]?.exit({ code: 2, signal: null });
    await clock.advance(30_000);
    expect(said.at(-1)).toBe("etcd could not be started again; next try in 15 s: its port is taken");
    await clock.advance(15_000);
    expect(said.at(-1)).toBe("etcd runs again, pid 2");
    await part.close();
  });

  it("is not started again once the run ends, nor told of as if it had failed", async () => {
    const { clock, said, started, part, lifetime } = await setup();
    lifetime.abort();
    await part.close();
    await clock.advance(60_000);
    expect(started).toHaveLength(1);
    expect(started[0]?.child.running()).toBe(false);
    expect(said).toEqual([]);
  });

  it("is not started again when it is closed while it waits for that", async () => {
    const { clock, started, part } = await setup();
    started[0]?.exit({ code: null, signal: "SIGKILL" });
    await clock.advance(5000);
    await part.close();
    await clock.advance(60_000);
    expect(started).toHaveLength(1);
  });
});
