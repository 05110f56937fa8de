import { describe, expect, it } from "vitest";
import { DeadlineExceeded } from "../../kernel/deadline.ts";
import { createManualClock } from "../../test/support/clock.ts";
import { createKeyedQueue } from "./keyed-queue.ts";

function setUp(bounds: { waitingPerKeyMax?: number; pendingMax?: number } = {}) {
  const clock = createManualClock();
  const events: string[] = [];
  const gates = new Map<string, () => void>();
  const task = (name: string) => async () => {
    events.push(`${name} starts`);
    await new Promise<void>((resolve) => {
      gates.set(name, resolve);
    });
    events.push(`${name} ends`);
    return name;
  };
  const finish = async (name: string) => {
    gates.get(name)?.();
    await clock.advance(0);
  };
  return { clock, events, task, finish, queue: createKeyedQueue({ clock, ...bounds }) };
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise.then(() => undefined);
  } catch (error) {
    return error;
  }
}

describe("operations on one key", () => {
  it("run one after the other, in order; those on another key at the same time", async () => {
    const { clock, events, task, finish, queue } = setUp();
    const all = [queue.run("a", 1000, task("a1")), queue.run("a", 1000, task("a2")), queue.run("b", 1000, task("b1"))];
    await clock.advance(0);
    expect(events).toEqual(["a1 starts", "b1 starts"]);
    await finish("a1");
    expect(events.slice(2)).toEqual(["a1 ends", "a2 starts"]);
    await finish("b1");
    await finish("a2");
    expect(await Promise.all(all)).toEqual(["a1", "a2", "b1"]);
    expect(queue.pending()).toBe(0);
  });

  it("go on after one that failed", async () => {
    const { queue } = setUp();
    await expect(queue.run("a", 1000, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await expect(queue.run("a", 1000, () => Promise.resolve(1))).resolves.toBe(1);
  });

  it("are not run at all when their turn comes after their budget", async () => {
    const { clock, events, task, finish, queue } = setUp();
    const first = queue.run("a", 5000, task("a1"));
    const late = queue.run("a", 1000, task("a2"));
    const [refused] = await Promise.all([failureOf(late), clock.advance(1500)]);
    expect(refused).toBeInstanceOf(DeadlineExceeded);
    await finish("a1");
    await first;
    await queue.idle();
    expect(events).toEqual(["a1 starts", "a1 ends"]);
  });

  it("go on past their budget when they run already, and the next one waits for their end", async () => {
    const { clock, events, task, finish, queue } = setUp();
    const [refused] = await Promise.all([failureOf(queue.run("a", 1000, task("a1"))), clock.advance(1500)]);
    expect(refused).toBeInstanceOf(DeadlineExceeded);
    const next = queue.run("a", 1000, task("a2"));
    await clock.advance(0);
    expect(events).toEqual(["a1 starts"]);
    await finish("a1");
    await finish("a2");
    expect(await next).toBe("a2");
  });

  it("are refused past the bound of their key, and past the bound of all", async () => {
    const { clock, task, finish, queue } = setUp({ waitingPerKeyMax: 2, pendingMax: 3 });
    const taken = [queue.run("a", 1000, task("a1")), queue.run("a", 1000, task("a2"))];
    await expect(queue.run("a", 1000, task("a3"))).rejects.toMatchObject({ code: "resource_exhausted" });
    taken.push(queue.run("b", 1000, task("b1")));
    await expect(queue.run("c", 1000, task("c1"))).rejects.toMatchObject({ code: "resource_exhausted" });
    await clock.advance(0);
    for (const name of ["a1", "a2", "b1"]) await finish(name);
    await Promise.all(taken);
  });
});

describe("an operation on several keys", () => {
  it("runs while nothing else runs on any of them, and two of them never wait for each other", async () => {
    const { clock, events, task, finish, queue } = setUp();
    const single = queue.run("a", 5000, task("a1"));
    const both = queue.runAll(["a", "b"], task("ab"));
    const reversed = queue.runAll(["b", "a"], task("ba"));
    await clock.advance(0);
    expect(events).toEqual(["a1 starts"]);
    await finish("a1");
    expect(events.at(-1)).toBe("ab starts");
    await finish("ab");
    expect(events.at(-1)).toBe("ba starts");
    await finish("ba");
    await Promise.all([single, both, reversed]);
    await queue.idle();
  });
});
