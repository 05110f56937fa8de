import { expect, test } from "vitest";
import { createManualClock } from "../../test/support/clock.ts";
import { createLog } from "../../node/log.ts";
import { createMembers } from "./members.ts";

function setUp(endpoints: readonly string[]) {
  const clock = createManualClock();
  const open = new Set<string>();
  const members = createMembers({
    endpoints,
    connect(endpoint) {
      open.add(endpoint);
      return { close: () => open.delete(endpoint) };
    },
    clock,
    random: () => 0,
    log: createLog("test", "silent"),
  });
  return { clock, open, members };
}

test("a crowd that fails with its member moves once, and the old connection and its streams end", () => {
  const { members, open } = setUp(["a", "b", "c"]);
  const first = members.current();
  for (let call = 0; call < 100; call++) members.failed(first, "unreachable");
  expect(members.current().endpoint).toBe("b");
  expect(first.left.aborted).toBe(true);
  expect(members.current().left.aborted).toBe(false);
  expect([...open]).toEqual(["b"]);
});

test("one slow answer does not move a process; two in a row do, and an answer between them starts over", () => {
  const { members } = setUp(["a", "b"]);
  const first = members.current();
  members.failed(first, "slow");
  members.succeeded(first);
  members.failed(first, "slow");
  expect(members.current()).toBe(first);
  members.failed(first, "slow");
  expect(members.current().endpoint).toBe("b");
});

test("a cluster that is down altogether is not run round in a circle", async () => {
  const clock = createManualClock();
  let connections = 0;
  const members = createMembers({
    endpoints: ["a", "b", "c"],
    connect: () => ({ close: () => void connections++ }),
    clock,
    random: () => 0.999,
    log: createLog("test", "silent"),
  });
  for (let elapsedMs = 0; elapsedMs < 60_000; elapsedMs += 10) {
    members.failed(members.current(), "unreachable");
    await clock.advance(10);
  }
  expect(connections).toBeLessThan(13);
});

test("the only member is never left", () => {
  const { members } = setUp(["a"]);
  const first = members.current();
  for (let call = 0; call < 10; call++) members.failed(first, "unreachable");
  expect(members.current()).toBe(first);
  expect(first.left.aborted).toBe(false);
});
