import { describe, expect, it } from "vitest";
import { FAULTS } from "./index.ts";
import { formatSchedule, parseFaults } from "./parse-schedule.ts";
import { clash, drawSchedule } from "./schedule.ts";
import type { Planned } from "./fault.ts";

const options = { durationMs: 120_000, faults: FAULTS, leaseTtlMs: 5000 };
const byName = new Map(FAULTS.map((fault) => [fault.name, fault]));
const end = ({ atMs, durationMs }: Planned) => atMs + durationMs;

function schedules(count: number) {
  return Array.from({ length: count }, (_, seed) => drawSchedule({ ...options, seed }));
}

describe("a schedule of faults", () => {
  it("is the same for the same seed, and another for another", () => {
    expect(drawSchedule({ ...options, seed: 7 })).toEqual(drawSchedule({ ...options, seed: 7 }));
    expect(drawSchedule({ ...options, seed: 7 })).not.toEqual(drawSchedule({ ...options, seed: 8 }));
  });

  it("draws each fault over some seeds, and all of them in one run that is long enough", () => {
    const names = FAULTS.map(({ name }) => name).toSorted();
    expect(new Set(names).size).toBe(names.length);
    expect([...new Set(schedules(40).flatMap((planned) => planned.map(({ name }) => name)))].toSorted()).toEqual(names);
    const long = drawSchedule({ ...options, seed: 1, durationMs: 3_600_000 });
    expect(new Set(long.slice(0, FAULTS.length).map(({ name }) => name)).size).toBeGreaterThanOrEqual(
      FAULTS.length - 2,
    );
  });

  it("never has two under way that touch the same, and ends in time", () => {
    for (const planned of schedules(200)) {
      for (const [at, one] of planned.entries()) {
        expect(end(one)).toBeLessThanOrEqual(options.durationMs);
        for (const other of planned.slice(at + 1)) {
          if (other.atMs >= end(one)) continue;
          expect(clash(byName.get(one.name)!, byName.get(other.name)!), `${one.name}, ${other.name}`).toBe(false);
        }
      }
    }
  });

  it("has them alone and together, short and past the lease, with calm of either length between", () => {
    const all = schedules(50);
    const together = all.flatMap((planned) =>
      planned.map((one) => planned.filter((other) => other.atMs < end(one) && one.atMs < end(other)).length),
    );
    expect(new Set(together)).toEqual(new Set([1, 2, 3]));
    const durations = all.flat().map(({ durationMs }) => durationMs);
    expect(Math.min(...durations)).toBeLessThan(400);
    expect(durations.filter((ms) => ms > options.leaseTtlMs).length).toBeGreaterThan(durations.length / 8);
    const calm = all.flatMap((planned) =>
      planned.slice(1).flatMap((one, at) => {
        const before = Math.max(...planned.slice(0, at + 1).map(end));
        return one.atMs > before ? [one.atMs - before] : [];
      }),
    );
    expect(Math.min(...calm)).toBeLessThan(1000);
    expect(calm.filter((ms) => ms > options.leaseTtlMs).length).toBeGreaterThan(calm.length / 8);
  });

  it("is empty where there is nothing to draw, or no time", () => {
    expect(drawSchedule({ ...options, seed: 1, faults: [] })).toEqual([]);
    expect(drawSchedule({ ...options, seed: 1, durationMs: 100 })).toEqual([]);
  });

  it("goes on with the others where all that is left touches the same", () => {
    const faults = FAULTS.filter(({ touches }) => touches.includes("redis"));
    const planned = drawSchedule({ ...options, seed: 3, faults });
    expect(planned.length).toBeGreaterThan(5);
  });
});

describe("faults by a person's word", () => {
  it("are a schedule with times, by the run's seed or their own", () => {
    const asked = parseFaults("etcd-leader-kill@5s, redis-kill@300ms+2.5s#17", FAULTS, 4);
    expect(asked).toEqual({
      type: "schedule",
      planned: [
        { id: 1, name: "redis-kill", atMs: 300, durationMs: 2500, seed: 17 },
        { id: 0, name: "etcd-leader-kill", atMs: 5000, durationMs: 2000, seed: expect.any(Number) },
      ],
    });
    expect(parseFaults("etcd-leader-kill@5s, redis-kill@300ms+2.5s#17", FAULTS, 4)).toEqual(asked);
    expect(parseFaults("etcd-leader-kill@5s, redis-kill@300ms+2.5s#17", FAULTS, 5)).not.toEqual(asked);
  });

  it("are what to draw from without times", () => {
    const asked = parseFaults("redis-kill,agent-pause,redis-kill", FAULTS, 1);
    expect(asked).toEqual({ type: "only", faults: [byName.get("redis-kill"), byName.get("agent-pause")] });
  });

  it("come back as they were written down", () => {
    for (const planned of schedules(20)) {
      expect(parseFaults(formatSchedule(planned), FAULTS, 99)).toEqual({ type: "schedule", planned });
    }
  });

  it("are refused with all that is wrong with them", () => {
    const refusal = (text: string) => {
      try {
        return JSON.stringify(parseFaults(text, FAULTS, 1));
      } catch (error) {
        return String(error);
      }
    };
    expect(refusal("redis-kil@1s,Agent,redis-kill")).toMatch(/no fault "redis-kil"; "Agent" is not of the form/);
    expect(refusal("redis-kill@1s,agent-kill")).toMatch(/some have a time and some have none/);
    expect(refusal("redis-kill@1s+3s,redis-flush@2s")).toMatch(/redis-kill and redis-flush would be under way at once/);
    expect(refusal("redis-kill@1s+1s,redis-flush@2s")).toMatch(/schedule/);
    expect(refusal("redis-kill@soon")).toMatch(/not of the form/);
    expect(refusal("redis-kill@1.2.3s")).toMatch(/not of the form/);
    expect(refusal("redis-kill@1s+.s")).toMatch(/not of the form/);
    expect(refusal("redis-kill@59m+2m")).toMatch(/redis-kill ends later than 60 minutes/);
    expect(refusal("redis-kill@1s#4294967296")).toMatch(/seed above 4294967295/);
    expect(refusal("")).toMatch(/not of the form/);
  });
});
