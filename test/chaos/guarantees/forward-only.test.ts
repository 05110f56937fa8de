import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { ReadEvent } from "../history/event.ts";
import { forwardOnly } from "./forward-only.ts";
import { failure, fault, life, read, run } from "./story.ts";

const at = (from: number, epoch: number, revision: number, changed: Partial<ReadEvent> = {}) =>
  read(from, { epoch, revision, ...changed });

test("an older answer after a newer one is a violation, shown by the two, whoever asked", () => {
  const newer = at(1000, 2, 7);
  const older = at(1011, 2, 6, { reader: "http-node-1" });
  const [violation, ...others] = forwardOnly.check([run(), at(500, 2, 6), newer, older]);
  expect(violation?.events).toEqual([newer, older]);
  expect(violation?.what).toContain("was told (2, 6) of web at 1.021 s");
  expect(others).toEqual([]);
  expect(forwardOnly.check([run(), newer, at(1011, 1, 99)])).toHaveLength(1);
  expect(forwardOnly.check([run(), newer, at(1011, 3, 1)])).toEqual([]);
  expect(forwardOnly.check([run(), newer, at(1011, 2, 7)])).toEqual([]);
});

test("reads that overlap may be told in any order", () => {
  expect(forwardOnly.check([run(), at(1000, 2, 7), at(1010, 2, 6)])).toEqual([]);
  expect(forwardOnly.check([run(), at(1000, 2, 7, { to: 3000 }), at(2000, 2, 6, { to: 4000 })])).toEqual([]);
});

test("services and resolvers have each their own order", () => {
  expect(forwardOnly.check([run(), at(1000, 2, 7), at(2000, 1, 1, { service: "other" })])).toEqual([]);
  expect(forwardOnly.check([run(), at(1000, 2, 7), at(2000, 1, 1, { resolver: "worker" })])).toEqual([]);
});

test("a new life goes on where the last one was, unless Redis may have lost that", () => {
  const reads = [at(1000, 2, 7), at(9000, 2, 6, { life: 2 })];
  expect(forwardOnly.check([run(), ...reads])).toHaveLength(1);
  expect(forwardOnly.check([run(), fault("redis-promotion", "replica", 3000, 4000), ...reads])).toEqual([]);
  const restarted = [life("redis", 0, "ready"), life("redis", 3000, "killed"), life("redis", 4000, "ready", 2)];
  expect(forwardOnly.check([run(), ...restarted, ...reads])).toEqual([]);
  expect(forwardOnly.check([run(), fault("etcd-leader-kill", "etcd-0", 3000, 4000), ...reads])).toHaveLength(1);
});

test("a client holds the newest it was told over all lives, until it was told of none", () => {
  const client = { by: "client", reader: "sdk" } as const;
  const reads = [at(1000, 2, 7, client), at(9000, 2, 6, { ...client, life: 2 })];
  const promotion = fault("redis-promotion", "replica", 3000, 4000);
  expect(forwardOnly.check([run(), promotion, ...reads])).toHaveLength(1);
  const unknown = failure(5000, { ...client, status: 404 });
  expect(forwardOnly.check([run(), promotion, ...reads, unknown])).toEqual([]);
});

test("a stream's events come in order, and bind what is asked after they came", () => {
  const event = (from: number, revision: number) => at(from, 2, revision, { by: "stream", reader: "stream", to: from });
  expect(forwardOnly.check([run(), event(1000, 7), event(1001, 6)])).toHaveLength(1);
  expect(forwardOnly.check([run(), event(1000, 7), at(1001, 2, 6)])).toHaveLength(1);
  // It may have been sent before the answer, and have come later.
  expect(forwardOnly.check([run(), at(1000, 2, 7), event(1020, 6)])).toEqual([]);
});

test("what a resolver that only moves forward answers is never accused, and one step back always", () => {
  const calls = fc.array(fc.tuple(fc.nat(30), fc.nat(30), fc.integer({ min: 0, max: 2 })), {
    minLength: 2,
    maxLength: 40,
  });
  fc.assert(
    fc.property(calls, fc.nat(), (given, chosen) => {
      let now = 0;
      let revision = 100;
      const reads = given.map(([gap, ms, step], index) => {
        now += gap;
        revision += step;
        // The answer is true at its end, which is what later calls go on from.
        const one = at(now, 1, revision, { to: now + ms, reader: `reader-${index % 3}` });
        now += ms;
        return one;
      });
      expect(forwardOnly.check(reads)).toEqual([]);
      const index = 1 + (chosen % (reads.length - 1));
      const [before, after] = [reads[index - 1] as ReadEvent, reads[index] as ReadEvent];
      if (before.to === after.from) return;
      const back = reads.with(index, { ...after, revision: (before.revision ?? 0) - 1 });
      expect(forwardOnly.check(back)).not.toEqual([]);
    }),
  );
});

test("one version of a service is the same for whoever is told it, but for what is not told to all", () => {
  const other = { resolver: "worker", reader: "http-worker" } as const;
  const as = (status: string, generation = 1) => ({
    instances: { "web-0": { status: "up", generation: 1 }, "web-1": { status, generation } },
  });
  const first = read(1000, as("up"));
  expect(forwardOnly.check([run(), first, read(2000, { ...other, ...as("up") })])).toEqual([]);
  for (const told of [as("suspect"), as("up", 2), as("down")]) {
    const bad = read(2000, { ...other, ...told });
    const [violation, ...others] = forwardOnly.check([run(), first, bad]);
    expect(violation?.events).toEqual([first, bad]);
    expect(others).toEqual([]);
    expect(forwardOnly.check([run(), first, { ...bad, revision: 2 }])).toEqual([]);
    expect(forwardOnly.check([run(), first, { ...bad, epoch: 2 }])).toEqual([]);
  }
  expect(forwardOnly.check([run(), read(1000), read(2000, { ...other, ...as("draining") })])).toEqual([]);
});
