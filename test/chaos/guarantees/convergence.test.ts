import { expect, test } from "vitest";
import { convergence, convergenceMs, LOOK_MS } from "./convergence.ts";
import { crashed, fault, run, SETTINGS, SERVICE, state, unknown, up, write } from "./story.ts";

const has = (generation: number, id = "web-0") => ({
  [SERVICE]: JSON.stringify([{ id, metadata: { generation: String(generation) }, status: "up" }]),
});
const registration = write("register", 100);
const start = [run(), up(0), registration];
const agreed = (services: Readonly<Record<string, string>>, at = 50_000) =>
  ["etcd", "redis", "replica", "worker", "node"].map((of) => state(of, at, services));

test("all that hold the same agree; one byte of one of them is a violation, shown by the two", () => {
  expect(convergence.check([...start, ...agreed(has(1))])).toEqual([]);
  const other = { [SERVICE]: has(1)[SERVICE]?.replace("up", "uq") ?? "" };
  const [violation, ...others] = convergence.check([...start, ...agreed(has(1)), state("node", 50_000, other)]);
  expect(violation?.events).toEqual([state("etcd", 50_000, has(1)), state("node", 50_000, other)]);
  expect(others).toEqual([]);
});

test("what one of them has not got, or has too much, is a violation", () => {
  expect(convergence.check([...start, ...agreed(has(1)), state("redis", 50_000, {})])).toHaveLength(1);
  const more = { ...has(1), other: "[{}]" };
  expect(convergence.check([...start, ...agreed(has(1)), state("redis", 50_000, more)])).toHaveLength(1);
  expect(convergence.check([...start, ...agreed(has(1)), state("redis", 50_000, { ...has(1), other: "[]" })])).toEqual(
    [],
  );
});

test("only the last look counts, and whoever was not to be asked in it has not converged", () => {
  const early = state("node", 40_000, {});
  expect(convergence.check([...start, early, ...agreed(has(1))])).toEqual([]);
  const last = agreed(has(1)).filter((one) => one.type === "state" && one.of !== "node");
  const [violation] = convergence.check([...start, state("node", 50_000 - LOOK_MS - 1, has(1)), ...last]);
  expect(violation?.what).toContain("node could not be asked any more");
  const stall = { type: "stall", from: 46_000, to: 46_001 } as const;
  expect(convergence.check([...start, state("node", 50_000 - LOOK_MS - 1, has(1)), stall, ...last])).toEqual([]);
});

test("agreement that comes too long after the last fault is a violation", () => {
  const end = 10_000 + convergenceMs(SETTINGS) + LOOK_MS;
  const faults = [fault("redis-kill", "redis", 5000, 10_000), fault("agent-kill", "agent-0", 6000, 7000)];
  expect(convergence.check([...start, ...faults, ...agreed(has(1), end)])).toEqual([]);
  expect(convergence.check([...start, ...faults, ...agreed(has(1), end + 1)])).toHaveLength(1);
});

test("a registration that was answered is there in the end, in its last generation", () => {
  const [lost] = convergence.check([...start, ...agreed({})]);
  expect(lost?.what).toContain("etcd has lost web-0 of web, which is up");
  expect(lost?.events[0]).toBe(registration);
  const changed = [...start, write("register", 5000, { generation: 2, agent: "agent-1" })];
  expect(convergence.check([...changed, ...agreed(has(2))])).toEqual([]);
  expect(convergence.check([...changed, ...agreed(has(1))])).toHaveLength(1);
  const doubted = [...start, unknown(write("register", 5000, { generation: 2 }))];
  expect(convergence.check([...doubted, ...agreed(has(1))])).toEqual([]);
  expect(convergence.check([...doubted, ...agreed(has(2))])).toEqual([]);
});

test("what crashed, drained, or was refused need not be there", () => {
  expect(convergence.check([...start, crashed(2000), ...agreed({})])).toEqual([]);
  expect(convergence.check([...start, write("drain", 2000), ...agreed({})])).toEqual([]);
  expect(convergence.check([run(), up(0), write("register", 100, { status: 400 }), ...agreed({})])).toEqual([]);
});

test("a deregistration that was answered stays done", () => {
  const gone = [...start, write("deregister", 2000)];
  expect(convergence.check([...gone, ...agreed({})])).toEqual([]);
  expect(convergence.check([...gone, ...agreed(has(1))])[0]?.what).toContain("etcd still has web-0 of web");
  expect(convergence.check([...gone, write("register", 3000, { generation: 2 }), ...agreed(has(2))])).toEqual([]);
  expect(convergence.check([...start, unknown(write("deregister", 2000)), ...agreed(has(1))])).toEqual([]);
});

test("without a look at the state nothing was judged", () => {
  expect(convergence.judged(start)).toBe(0);
  expect(convergence.judged([...start, ...agreed(has(1))])).toBe(6);
});
