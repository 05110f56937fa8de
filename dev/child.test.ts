import { describe, expect, it } from "vitest";
import { createManualClock } from "../test/support/clock.ts";
import { untilReady, type Child } from "./child.ts";

const child: Child = {
  name: "registrar",
  pid: 1,
  exited: new Promise(() => undefined),
  running: () => true,
  logTail: () => "its last line",
  kill: () => undefined,
  end: () => Promise.resolve(),
};

function setup() {
  const clock = createManualClock();
  const told: string[] = [];
  const state: { reason: string | undefined } = { reason: "etcd has not answered yet." };
  const ready = untilReady(child, {
    budgetMs: 10_000,
    clock,
    probe: () => Promise.resolve(state.reason),
    onSlow: (reason) => told.push(reason),
  });
  return { clock, told, state, ready };
}

describe("a process that is started", () => {
  it("says after 3 s what it waits for, and again only when that changes", async () => {
    const { clock, told, state, ready } = setup();
    await clock.advance(2900);
    expect(told).toEqual([]);
    await clock.advance(200);
    expect(told).toEqual(["etcd has not answered yet."]);
    await clock.advance(2000);
    expect(told).toHaveLength(1);
    state.reason = "Not every namespace is in Redis yet.";
    await clock.advance(2000);
    expect(told.slice(1)).toEqual(["Not every namespace is in Redis yet."]);
    state.reason = undefined;
    await clock.advance(100);
    await ready;
    expect(told).toHaveLength(2);
  });

  it("says nothing when it is ready soon", async () => {
    const { clock, told, state, ready } = setup();
    await clock.advance(2000);
    state.reason = undefined;
    await clock.advance(100);
    await ready;
    expect(told).toEqual([]);
  });

  it("fails with the reason and the end of its log when it takes too long", async () => {
    const { clock, ready } = setup();
    const failure = ready.catch((error: unknown) => String(error));
    await clock.advance(11_000);
    expect(await failure).toContain(
      "registrar was not ready within 10000 ms: etcd has not answered yet.\nIts log ends:\nits last line",
    );
  });
});
