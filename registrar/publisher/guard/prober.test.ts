import { describe, expect, it, onTestFinished } from "vitest";
import { createLog } from "../../../node/log.ts";
import { createManualClock } from "../../../test/support/clock.ts";
import { registration } from "../../../test/support/instance.ts";
import type { Registration } from "../../../contract/registration.ts";
import type { Evidence, HeldInstance, ProbeResult } from "./hold.ts";
import { runProber, type ProbedNamespace, type ProberOptions } from "./prober.ts";

const INTERVAL_MS = 10_000;

/** A prober over one service "web" with these instances, live or held; `answers` says what a probe of each comes to. */
function start(
  live: readonly Registration[],
  held: readonly Registration[],
  overrides: Partial<ProberOptions> = {},
  others: readonly ProbedNamespace[] = [],
) {
  const clock = createManualClock();
  const probes: string[] = [];
  const told: [id: string, result: ProbeResult, evidence: Evidence][] = [];
  const answers = new Map<string, ProbeResult | undefined>();
  const holds = new Map(held.map((one) => [one.id, { registration: one } as HeldInstance]));
  const stop = new AbortController();
  const namespace: ProbedNamespace = {
    namespace: "default",
    guard: {
      size: () => holds.size,
      services: () => ["web"],
      held: () => holds,
      isLast: () => false,
      probed(_service, id, result, evidence) {
        told.push([id, result, evidence]);
        return new Set();
      },
    },
    changed: () => {},
  };
  const running = runProber(
    {
      namespaces: () => [namespace, ...others],
      catalog: { services: () => ["web"], registrations: () => new Map(live.map((one) => [one.id, one])) },
      intervalMs: INTERVAL_MS,
      async probe({ id }) {
        probes.push(id);
        return answers.has(id) ? answers.get(id) : "answered";
      },
      clock,
      random: () => 0.5,
      log: createLog("test", "silent"),
      ...overrides,
    },
    stop.signal,
  );
  onTestFinished(async () => {
    stop.abort();
    await running;
  });
  return { clock, probes, told, answers, holds };
}

const many = (count: number, prefix: string, change: Partial<Registration> = {}) =>
  Array.from({ length: count }, (_, index) => registration(`${prefix}${index}`, change));

describe("a round of probes", () => {
  it("tries each that is held once, and a few live ones of its protocol and zone", async () => {
    const live = [
      ...many(5, "down", { status: "down", zone: "a" }),
      ...many(50, "a", { zone: "a" }),
      ...many(50, "b", { zone: "b" }),
    ];
    const { clock, probes, told, answers } = start(live, many(3, "held", { zone: "a" }));
    answers.set("held1", "refused");
    await clock.advance(INTERVAL_MS);
    expect(probes.filter((id) => id.startsWith("held")).toSorted()).toEqual(["held0", "held1", "held2"]);
    const controls = probes.filter((id) => !id.startsWith("held"));
    expect(controls.length).toBeGreaterThanOrEqual(4);
    expect(controls.length).toBeLessThanOrEqual(8);
    expect(controls.filter((id) => id.startsWith("a")).length).toBeGreaterThanOrEqual(4);
    expect(controls.filter((id) => id.startsWith("down"))).toEqual([]);
    expect(told.find(([id]) => id === "held1")).toEqual(["held1", "refused", { refusals: true, silence: true }]);
    await clock.advance(INTERVAL_MS);
    expect(told).toHaveLength(6);
  });

  it("probes nothing while nothing is held", async () => {
    const { clock, probes } = start(many(5, "a"), []);
    await clock.advance(10 * INTERVAL_MS);
    expect(probes).toEqual([]);
  });

  it("tries no more than 100 a second, and 32 at a time", async () => {
    let underWay = 0;
    let most = 0;
    const probe: ProberOptions["probe"] = async () => {
      most = Math.max(most, ++underWay);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      underWay--;
      return "silent";
    };
    const { clock, told } = start([], many(500, "held"), { probe });
    await clock.advance(INTERVAL_MS + 1000);
    expect(told).toEqual([]);
    await clock.advance(4000);
    expect(told).toHaveLength(500);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(32);
  });

  it("passes nothing on where a probe says nothing, or where the instance is held anew meanwhile", async () => {
    const anew = { registration: registration("held1", { port: 1 }) } as HeldInstance;
    const world = start([], many(3, "held"), {
      async probe({ id }) {
        if (id === "held1") world.holds.set("held1", anew);
        return id === "held0" ? undefined : "silent";
      },
    });
    await world.clock.advance(INTERVAL_MS);
    expect(world.told.map(([id]) => id)).toEqual(["held2"]);
  });

  it("that fails as a whole is followed by the next", async () => {
    let broken = true;
    const { clock, told } = start([], many(1, "held"), {
      probe: () => (broken ? Promise.reject(new Error("broken")) : Promise.resolve("refused")),
    });
    await clock.advance(INTERVAL_MS);
    expect(told).toEqual([]);
    broken = false;
    await clock.advance(INTERVAL_MS);
    expect(told).toHaveLength(1);
  });

  it("takes a thousand at most, each of them until it answers or four times, and the others next", async () => {
    const { clock, probes, answers } = start([], many(2100, "held"));
    await clock.advance(INTERVAL_MS);
    await clock.advance(10_000);
    expect(new Set(probes).size).toBe(1000);
    expect(probes).toHaveLength(1000);
    const [again = ""] = probes;
    for (let index = 0; index < 2100; index++) answers.set(`held${index}`, "silent");
    await clock.advance(INTERVAL_MS);
    await clock.advance(10_000);
    const second = probes.slice(1000, 2000);
    expect(second.some((id) => probes.indexOf(id) < 1000)).toBe(false);
    for (let round = 0; round < 3; round++) await clock.advance(INTERVAL_MS + 10_000);
    expect(probes.slice(2000, 5000).toSorted()).toEqual([...second, ...second, ...second].toSorted());
    expect(probes.slice(1).includes(again)).toBe(false);
    await clock.advance(INTERVAL_MS + 10_000);
    const last = probes.slice(5000, 6000);
    expect(last.filter((id) => !probes.slice(0, 5000).includes(id))).toHaveLength(100);
  });

  it("does not probe what is held no more when its turn comes", async () => {
    const { clock, probes, holds } = start([], many(1000, "held"));
    await clock.advance(INTERVAL_MS);
    const before = probes.length;
    expect(before).toBeLessThan(100);
    holds.clear();
    await clock.advance(60_000);
    expect(probes.length).toBeLessThanOrEqual(before + 32);
  });

  it("of one namespace waits for no other, and no namespace takes all probes", async () => {
    const told: string[] = [];
    const [one] = many(1, "small");
    const small: ProbedNamespace = {
      namespace: "small",
      guard: {
        size: () => 1,
        services: () => ["web"],
        held: () => new Map([["small0", { registration: one } as HeldInstance]]),
        isLast: () => false,
        probed(_service, id) {
          told.push(id);
          return new Set();
        },
      },
      changed: () => {},
    };
    const slow = Promise.withResolvers<void>();
    const probe: ProberOptions["probe"] = async ({ id }) => {
      if (id === "small0") await slow.promise;
      return "answered";
    };
    const world = start([], many(5000, "held"), { probe }, [small]);
    await world.clock.advance(INTERVAL_MS + 20_000);
    expect(world.told).toHaveLength(999);
    slow.resolve();
    await world.clock.advance(0);
    expect(told).toEqual(["small0"]);
  });
});
