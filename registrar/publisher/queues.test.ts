import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createManualClock } from "../../test/support/clock.ts";
import { createKeyedQueue } from "../agent/keyed-queue.ts";
import { createBacklog, LARGE_BYTES, LARGE_INTERVAL_MS, WITHHELD_RETRY_MS } from "./backlog.ts";
import { createDepartureWindow } from "./guard/window.ts";

const NAMES = ["a", "b", "c"];
const name = fc.constantFrom(...NAMES);

describe("the backlog", () => {
  const step = fc.record({
    what: fc.constantFrom("add", "publish", "withhold", "clear"),
    service: name,
    bytes: fc.constantFrom(10, LARGE_BYTES, LARGE_BYTES + 1),
    afterMs: fc.constantFrom(0, 1, 400, LARGE_INTERVAL_MS, WITHHELD_RETRY_MS),
  });

  it("loses no change, has each service once, and neither a large one nor a refused one too soon again", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const backlog = createBacklog();
        const waiting = new Map<string, number>();
        const notBefore = new Map<string, number>();
        let nowMs = 0;
        for (const { what, service, bytes, afterMs } of steps) {
          nowMs += afterMs;
          if (what === "add") {
            backlog.add([service, service], nowMs);
            if (!waiting.has(service)) waiting.set(service, nowMs);
          } else if (what === "clear") {
            backlog.clear();
            waiting.clear();
            notBefore.clear();
          } else if (backlog.due(nowMs).has(service)) {
            backlog.take(service);
            waiting.delete(service);
            if (what === "publish") {
              backlog.written(service, bytes, nowMs);
              if (bytes > LARGE_BYTES) notBefore.set(service, nowMs + LARGE_INTERVAL_MS);
              else notBefore.delete(service);
            } else {
              backlog.withhold(service, nowMs);
              waiting.set(service, nowMs);
              notBefore.set(service, nowMs + WITHHELD_RETRY_MS);
            }
          }
          const due = [...waiting].filter(([one]) => (notBefore.get(one) ?? 0) <= nowMs);
          expect(new Map(backlog.due(nowMs))).toEqual(new Map(due));
          const times = [...notBefore].filter(([one]) => waiting.has(one)).map(([, untilMs]) => untilMs);
          expect(backlog.nextAtMs()).toBe(Math.min(...times));
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("the window of departures", () => {
  const step = fc.record({
    what: fc.constantFrom("add", "add", "remove", "clear"),
    service: name,
    id: name,
    agoMs: fc.constantFrom(0, 0, 20, 150),
    afterMs: fc.constantFrom(0, 1, 7, 40, 100, 150),
  });

  it("counts each instance that departed within it once, within a hundredth of it, and of each service exactly", async () => {
    const windowMs = 100;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const clock = createManualClock();
        const window = createDepartureWindow({ windowMs, clock });
        const departed = new Map<string, number>();
        let nowMs = 0;
        for (const { what, service, id, agoMs, afterMs } of steps) {
          nowMs += afterMs;
          await clock.advance(afterMs);
          const key = `${service}/${id}`;
          if (what === "add") {
            window.add(service, id, agoMs);
            departed.set(key, nowMs - agoMs);
          } else if (what === "remove") {
            window.remove(service, id);
            departed.delete(key);
          } else {
            window.clear();
            departed.clear();
          }
          const within = (ms: number) => [...departed].filter(([, atMs]) => atMs > nowMs - ms).map(([one]) => one);
          const count = window.count();
          expect(count).toBeGreaterThanOrEqual(within(windowMs).length);
          // What came with an age beyond the window is counted until all is looked through again.
          const unpruned = [...departed.values()].filter((atMs) => atMs <= nowMs - windowMs - windowMs / 100).length;
          expect(count).toBeLessThanOrEqual(within(windowMs + windowMs / 100).length + unpruned);
          const listed = NAMES.flatMap((one) => [...window.of(one)].map((each) => `${one}/${each}`));
          expect(listed.toSorted()).toEqual(within(windowMs).toSorted());
          expect(window.count()).toBe(listed.length);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe("the queue by key", () => {
  const call = fc.record({
    keys: fc.subarray(NAMES, { minLength: 1 }),
    takesMs: fc.nat({ max: 30 }),
    afterMs: fc.nat({ max: 20 }),
  });

  it("runs one at a time for each key, in the order they came, none twice, and is idle in the end", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 12 }), async (calls) => {
        const clock = createManualClock();
        const queue = createKeyedQueue({ clock, waitingPerKeyMax: 3 });
        const running = new Set<string>();
        const begun = new Map<string, number[]>(NAMES.map((key) => [key, []]));
        const faults: string[] = [];
        const settled: Promise<unknown>[] = [];
        const task = (keys: readonly string[], index: number, takesMs: number) => async () => {
          for (const key of keys) {
            if (running.has(key)) faults.push(`${key} runs twice at once`);
            running.add(key);
            begun.get(key)?.push(index);
          }
          await new Promise<void>((resolve) => clock.after(takesMs, resolve));
          for (const key of keys) running.delete(key);
        };
        for (const [index, { keys, takesMs, afterMs }] of calls.entries()) {
          const [first = ""] = keys;
          const run =
            keys.length > 1
              ? queue.runAll(keys, task(keys, index, takesMs))
              : queue.run(first, 60, task(keys, index, takesMs));
          settled.push(run.catch((error: unknown) => error));
          await clock.advance(afterMs);
        }
        await clock.advance(2000);
        await Promise.all(settled);
        await queue.idle();
        expect(faults).toEqual([]);
        expect(queue.pending()).toBe(0);
        expect(running.size).toBe(0);
        for (const order of begun.values()) {
          expect(order).toEqual([...new Set(order)].toSorted((a, b) => a - b));
        }
        const all = calls.flatMap(({ keys }, index) => (keys.length > 1 ? [index] : []));
        expect([...new Set([...begun.values()].flat())]).toEqual(expect.arrayContaining(all));
      }),
      { numRuns: 40 },
    );
  });
});
