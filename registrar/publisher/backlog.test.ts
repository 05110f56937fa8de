import { describe, expect, it } from "vitest";
import { createBacklog, LARGE_BYTES, LARGE_INTERVAL_MS, WITHHELD_RETRY_MS } from "./backlog.ts";

describe("a backlog", () => {
  it("holds one entry a service, since its first change, until that is taken", () => {
    const backlog = createBacklog();
    for (let change = 0; change < 20_000; change++) backlog.add([`s${change % 10}`], change);
    expect([...backlog.due(20_000)]).toEqual(Array.from({ length: 10 }, (_, index) => [`s${index}`, index]));
    backlog.take("s3");
    expect(backlog.due(20_000).has("s3")).toBe(false);
    backlog.add(["s3"], 20_000);
    expect(backlog.due(20_000).get("s3")).toBe(20_000);
  });

  it("lets a large snapshot wait for a second after it was written, and nothing else", () => {
    const backlog = createBacklog();
    backlog.written("large", LARGE_BYTES + 1, 5000);
    backlog.written("small", LARGE_BYTES, 5000);
    expect(backlog.nextAtMs()).toBe(Infinity);
    backlog.add(["large", "small"], 5001);
    expect([...backlog.due(5999).keys()]).toEqual(["small"]);
    expect(backlog.nextAtMs()).toBe(5000 + LARGE_INTERVAL_MS);
    expect([...backlog.due(6000).keys()]).toEqual(["large", "small"]);
    expect(backlog.due(6000).get("large")).toBe(5001);
    backlog.written("large", LARGE_BYTES, 6000);
    expect(backlog.due(6000).has("large")).toBe(true);
  });

  it("leaves what Redis would not take alone for a while, however often it changes, and keeps nobody waiting for it", () => {
    const backlog = createBacklog();
    backlog.withhold("huge", 1000);
    backlog.add(["huge"], 2000);
    expect(backlog.due(1000 + WITHHELD_RETRY_MS - 1).size).toBe(0);
    expect(backlog.isWaiting()).toBe(false);
    expect(backlog.trouble()).toContain("huge");
    expect(backlog.due(1000 + WITHHELD_RETRY_MS).has("huge")).toBe(true);
    backlog.take("huge");
    backlog.written("huge", 10, 70_000);
    expect(backlog.trouble()).toBeUndefined();
    backlog.add(["huge"], 70_001);
    expect(backlog.isWaiting()).toBe(true);
  });
});
