import { expect, test } from "vitest";
import { RESYNC_MS, singleWriter } from "./single-writer.ts";
import { commit, fault, life, run } from "./story.ts";

const interleaved = [commit(1000, 10, 5), commit(2000, 20, 5), commit(9000, 10, 6)];

test("epochs and revisions that only grow are one writer's after another", () => {
  const commits = [commit(1, 10, 5), commit(2, 10, 5), commit(3, 10, 6), commit(4, 20, 2), commit(5, 20, 3)];
  expect(singleWriter.check([run(), ...commits])).toEqual([]);
  expect(singleWriter.judged([run(), ...commits])).toBe(4);
});

test("an earlier epoch after a later one is a violation, shown by the two", () => {
  const [violation, ...others] = singleWriter.check([run(), ...interleaved]);
  expect(violation?.events).toEqual(interleaved.slice(1));
  expect(others).toEqual([]);
  expect(singleWriter.check([run(), commit(1, 10, 6), commit(2, 10, 5)])).toHaveLength(1);
});

test("two servers have each their own order", () => {
  expect(singleWriter.check([run(), commit(1, 20, 5), commit(2, 10, 5, "replica")])).toEqual([]);
});

test("a server that has come to have another's data, or an older one, may go back, for as long as that takes", () => {
  const promotion = (to: number) => fault("redis-promotion", "replica", 1500, to);
  expect(singleWriter.check([run(), promotion(1900), ...interleaved])).toEqual([]);
  // Over before the later epoch came.
  expect(singleWriter.check([run(), promotion(1999 - RESYNC_MS), ...interleaved])).toHaveLength(1);
  const restart = [life("redis", 0, "started"), life("redis", 0, "ready"), life("redis", 3000, "killed")];
  expect(singleWriter.check([run(), ...restart, life("redis", 4000, "ready", 2), ...interleaved])).toEqual([]);
  expect(singleWriter.check([run(), fault("redis-replica-lag", "replica>redis", 3000, 4000), ...interleaved])).toEqual(
    [],
  );
});

test("FLUSHALL lets no epoch fall, nor do lines of others, or a pause of a publisher", () => {
  for (const other of [
    fault("redis-flush", "redis", 3000, 4000),
    fault("redis-line-cut", "publisher-0>redis", 3000, 4000),
    fault("publisher-leader-pause", "publisher-0", 1500, 8500),
  ]) {
    expect(singleWriter.check([run(), other, ...interleaved])).toHaveLength(1);
  }
});

test("a pause of a server loses nothing of it", () => {
  const paused = [life("redis", 0, "ready"), life("redis", 3000, "paused"), life("redis", 4000, "resumed")];
  expect(singleWriter.check([run(), ...paused, ...interleaved])).toHaveLength(1);
});

test("an epoch that an earlier one has followed never comes back, whatever was lost", () => {
  const promotion = fault("redis-promotion", "replica", 1500, 9000);
  const back = commit(9500, 20, 6);
  const [violation, ...others] = singleWriter.check([run(), promotion, ...interleaved, back]);
  expect(violation?.events).toEqual([...interleaved.slice(1), back]);
  expect(others).toEqual([]);
  expect(singleWriter.check([run(), promotion, ...interleaved, commit(9500, 21, 6)])).toEqual([]);
});
