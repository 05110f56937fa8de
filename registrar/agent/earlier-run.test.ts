import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AGENTS_PREFIX, instanceKey } from "../../contract/etcd-keys.ts";
import { parseRegistrationRequest } from "../../contract/registration.ts";
import { ref, request } from "../../test/agent/agent-on-memory.ts";
import { startRun, type Run } from "../../test/agent/crash-points.ts";
import { createMemoryEtcd } from "../../test/agent/memory-etcd.ts";
import { createManualClock } from "../../test/support/clock.ts";
import { temporaryFolder } from "../../test/support/folder.ts";
import { failed, passed, type CheckOutcome } from "./checks/outcome.ts";
import { until } from "../../test/support/until.ts";

const a = ref("a");
const b = ref("b");
const other = ref("a", "web", "other");
const checked = parseRegistrationRequest({
  address: "10.0.0.1",
  port: 80,
  check: { type: "tcp", intervalSeconds: 5 },
});
const lasting = request({ ttlSeconds: 600 });

function setUp() {
  const dir = temporaryFolder();
  const clock = createManualClock();
  const etcd = createMemoryEtcd();
  const stored = (of = a) => {
    const entry = etcd.entries.get(instanceKey(of));
    return entry && { ...(JSON.parse(entry.value) as { status: string; weight: number }), lease: entry.lease };
  };
  const live = async (seconds: number) => {
    for (let step = 0; step < seconds * 2; step++) await clock.advance(500);
  };
  let outcome: CheckOutcome = passed;
  const fail = () => (outcome = failed("connection refused"));
  const start = () => startRun({ dir, etcd, clock, probe: async () => outcome });
  const taken = (run: Run) => until("it is taken up", () => run.agent.counts().takingUp === 0);
  return { dir, clock, etcd, stored, live, start, taken, fail };
}

describe("two agents on one state where no lock reaches", () => {
  it("are told apart by the sentinel: the later one has it all, and the first lets go and does not fight", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, lasting);
    await first.agent.register(b, lasting);
    const second = await start();
    await taken(second);
    const before = [stored(a), stored(b)];
    // Whatever the first still does under its lease does nothing.
    await first.agent.drain(a).then(
      () => expect.unreachable("it is not its own any more"),
      (error: unknown) => expect(error).toMatchObject({ code: "not_found" }),
    );
    expect(first.agent.counts()).toMatchObject({ instances: 0, leases: 0 });
    await live(120);
    expect([stored(a), stored(b)]).toEqual(before);
    expect(second.agent.counts()).toMatchObject({ instances: 2, leases: 1 });
    await expect(first.agent.heartbeat(b)).rejects.toMatchObject({ code: "not_found" });
    await second.agent.heartbeat(b);
    // Nor does it write the state any more that is the other's.
    await first.agent.register(ref("c"), lasting);
    // A disk that is slower than this clock leaves the journal behind, and what it has lost is known with its next try.
    await until("the journal has learnt it", async () => {
      await live(1);
      return first.journal.state().type === "replaced";
    });
    expect(etcd.entries.has(instanceKey(ref("c")))).toBe(true);
    await Promise.all([first.bury(), second.bury()]);
  });

  it("notice it by themselves, without a write", async () => {
    const { live, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, lasting);
    const second = await start();
    await taken(second);
    await live(35);
    expect(first.agent.counts()).toMatchObject({ instances: 0, leases: 0 });
    expect(second.agent.counts()).toMatchObject({ instances: 1, leases: 1 });
    await Promise.all([first.bury(), second.bury()]);
  });
});

describe("a lease whose sentinel is not as the state has it", () => {
  it("is left to whoever wrote it: not renewed, not written under, and not ended", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, lasting);
    const before = stored();
    first.kill();
    const [key = ""] = [...etcd.entries.keys()].filter((each) => each.startsWith(AGENTS_PREFIX));
    etcd.put(key, "another's", before?.lease);
    const second = await start();
    await taken(second);
    await live(90);
    expect(second.renewed.size).toBe(0);
    expect(stored()).toEqual(before);
    expect(etcd.entries.get(key)?.value).toBe("another's");
    await Promise.all([first.bury(), second.bury()]);
  });
});

describe("what an earlier run held", () => {
  it("comes back under as few leases as it was, though each instance is heard of by itself", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const refs = Array.from({ length: 8 }, (_, index) => ref(`i${index}`));
    const first = await start();
    for (const each of refs) await first.agent.register(each, lasting);
    const ended = stored(refs[0])?.lease ?? "";
    first.kill();
    etcd.expire(ended);
    const second = await start();
    await taken(second);
    for (const each of refs) {
      await second.agent.heartbeat(each);
      await live(2);
    }
    expect(refs.map((each) => stored(each)?.status)).toEqual(refs.map(() => "up"));
    expect(second.agent.counts()).toMatchObject({ instances: 8, leases: 1, recovering: 0 });
    await Promise.all([first.bury(), second.bury()]);
  });

  it("comes back under as few leases as it was, though all are heard of at the same time", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const refs = Array.from({ length: 8 }, (_, index) => ref(`i${index}`));
    const first = await start();
    for (const each of refs) await first.agent.register(each, lasting);
    const ended = stored(refs[0])?.lease ?? "";
    first.kill();
    etcd.expire(ended);
    const second = await start();
    await taken(second);
    await Promise.all(refs.map((each) => second.agent.heartbeat(each)));
    await live(2);
    expect(refs.map((each) => stored(each)?.status)).toEqual(refs.map(() => "up"));
    expect(second.agent.counts()).toMatchObject({ instances: 8, leases: 1, recovering: 0 });
    await Promise.all([first.bury(), second.bury()]);
  });

  it("takes heartbeats while etcd is away, and is there as it was once etcd is back", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, lasting);
    const before = stored();
    first.kill();
    etcd.fault = () => "refused";
    const second = await start();
    await until("it tries", async () => {
      await live(1);
      return second.agent.counts().takingUp === 1;
    });
    for (let beat = 0; beat < 60; beat++) {
      await second.agent.heartbeat(a);
      await live(1);
    }
    const registering = second.agent.register(a, request({ ttlSeconds: 600, weight: 3 }));
    await Promise.all([expect(registering).rejects.toMatchObject({ code: "unavailable" }), live(9)]);
    expect(stored()).toEqual(before);
    etcd.fault = () => "none";
    await live(6);
    await taken(second);
    await second.agent.register(a, request({ ttlSeconds: 600, weight: 3 }));
    expect(stored()).toMatchObject({ status: "up", weight: 3, lease: before?.lease });
    await Promise.all([first.bury(), second.bury()]);
  });

  it("under a lease that has ended is put again at its first heartbeat, and forgotten without one", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, request({ ttlSeconds: 20 }));
    await first.agent.register(b, request({ ttlSeconds: 20 }));
    const lease = stored()?.lease ?? "";
    first.kill();
    etcd.expire(lease);
    const second = await start();
    await taken(second);
    await live(5);
    expect([stored(a), stored(b)]).toEqual([undefined, undefined]);
    await second.agent.heartbeat(a);
    await until("it is put again", () => stored(a));
    expect(stored(a)).toMatchObject({ status: "up" });
    expect(stored(a)?.lease).not.toBe(lease);
    await live(16);
    await expect(second.agent.heartbeat(b)).rejects.toMatchObject({ code: "not_found" });
    expect(stored(b)).toBeUndefined();
    await Promise.all([first.bury(), second.bury()]);
  });

  it("and that beat while etcd was away is put again at once, though its lease has ended", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, lasting);
    first.kill();
    etcd.fault = () => "refused";
    const second = await start();
    await second.agent.heartbeat(a);
    etcd.expire(stored()?.lease ?? "");
    etcd.fault = () => "none";
    await until("it is put again", async () => {
      await live(1);
      return stored();
    });
    await taken(second);
    await Promise.all([first.bury(), second.bury()]);
  });

  it("and that another agent has by now stays the other's, whatever heartbeats come here", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, lasting);
    first.kill();
    etcd.put(instanceKey(a), JSON.stringify({ ...stored(), weight: 9 }));
    const second = await start();
    await taken(second);
    await second.agent.heartbeat(a);
    await live(2);
    await until("it lets go", () => second.agent.counts().instances === 0);
    expect(stored()).toMatchObject({ weight: 9, lease: "0" });
    await expect(second.agent.heartbeat(a)).rejects.toMatchObject({ code: "not_found" });
    await Promise.all([first.bury(), second.bury()]);
  });

  it("has its time anew: a silent one is down after its own TTL, and one that is down is gone after its grace", async () => {
    const { stored, live, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, request({ ttlSeconds: 20 }));
    await live(15);
    first.kill();
    const second = await start();
    await taken(second);
    await live(15);
    expect(stored()?.status).toBe("up");
    await live(6);
    expect(stored()?.status).toBe("down");
    second.kill();
    const third = await start();
    await taken(third);
    await live(15);
    expect(stored()?.status).toBe("down");
    await live(6);
    expect(stored()).toBeUndefined();
    await Promise.all([first.bury(), second.bury(), third.bury()]);
  });

  it("and lived with it, or was in its file, stays for as long as a start takes, and goes unless registered anew", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const none = { type: "none" } as const;
    const first = await start();
    await first.agent.register(a, lasting, none, "file");
    await first.agent.register(b, lasting, none, "file");
    first.kill();
    const second = await start();
    await taken(second);
    const revision = etcd.revision();
    await second.agent.register(a, lasting, none, "file");
    expect(etcd.revision()).toBe(revision);
    await live(50);
    expect(stored(b)?.status).toBe("up");
    await live(120);
    expect([stored(a)?.status, stored(b)]).toEqual(["up", undefined]);
    await Promise.all([first.bury(), second.bury()]);
  });

  it("and checked is checked on: up without a write while its check passes, down once it fails", async () => {
    const { etcd, stored, live, start, taken, fail } = setUp();
    const first = await start();
    await first.agent.register(a, checked);
    await live(30);
    const before = stored();
    expect(before?.status).toBe("up");
    first.kill();
    const revision = etcd.revision();
    const second = await start();
    await taken(second);
    // Its sentinel alone is written.
    await live(30);
    expect(etcd.revision()).toBe(revision + 1);
    expect(stored()).toEqual(before);
    fail();
    await live(60);
    expect(stored()?.status).toBe("down");
    await Promise.all([first.bury(), second.bury()]);
  });

  it("and checked, under a lease that has ended, is put again when its check passes, and not before", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, checked);
    await live(30);
    first.kill();
    etcd.expire(stored()?.lease ?? "");
    const second = await start();
    await taken(second);
    expect(stored()).toBeUndefined();
    await until("it is put again", async () => {
      await live(5);
      return stored();
    });
    expect(stored()?.status).toBe("up");
    await Promise.all([first.bury(), second.bury()]);
  });

  it("and was draining, under a lease that has ended, is gone, though its check passes", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, checked);
    await live(2);
    await first.agent.drain(a);
    expect(stored()).toMatchObject({ status: "draining" });
    first.kill();
    await etcd.revokeLease(stored()?.lease ?? "");
    const second = await start();
    await taken(second);
    await live(20);
    expect(stored()).toBeUndefined();
    expect(second.agent.counts().instances).toBe(0);
    await Promise.all([first.bury(), second.bury()]);
  });

  it("under a lease whose latest line is damaged goes on, since the state names the run that took it", async () => {
    const { dir, etcd, stored, live, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, lasting);
    await first.agent.register(other, checked);
    await live(30);
    const [before, otherBefore] = [stored(a), stored(other)];
    first.kill();
    const second = await start();
    await taken(second);
    const path = join(dir, "journal");
    const read = () => readFileSync(path, "utf8").split("\n");
    const about = (lease = "") => read().flatMap((line, at) => (line.includes(`"lease","id":"${lease}"`) ? [at] : []));
    // A disk that is slower than this clock has the lines later than etcd has the keys.
    await until("the second run's lines about both leases are on disk", () =>
      [before, otherBefore].every((of) => about(of?.lease).length === 3),
    );
    second.kill();
    const lines = read();
    for (const at of about(before?.lease).slice(1)) lines[at] = "x";
    writeFileSync(path, lines.join("\n"));
    const third = await start();
    await taken(third);
    expect(third.renewed).toEqual(new Set([before?.lease, otherBefore?.lease]));
    const revision = etcd.revision();
    await third.agent.heartbeat(a);
    await live(60);
    expect([stored(a), stored(other), etcd.revision()]).toEqual([before, otherBefore, revision]);
    await Promise.all([first.bury(), second.bury(), third.bury()]);
  });

  it("is not in the state of one that has left", async () => {
    const { etcd, start, taken } = setUp();
    const first = await start();
    await first.agent.register(a, lasting);
    await first.agent.close({ leave: true });
    await first.journal.close();
    const second = await start();
    await taken(second);
    expect(second.agent.counts()).toMatchObject({ instances: 0, leases: 0 });
    expect(etcd.entries.size).toBe(0);
    await second.bury();
  });
});

describe("a state that is behind", () => {
  it("puts nothing again that may have been deregistered, and takes up what etcd has", async () => {
    const { etcd, stored, live, start, taken } = setUp();
    const c = ref("c");
    const first = await start();
    await first.agent.register(a, lasting);
    await first.agent.register(b, lasting);
    // From here on the disk takes nothing.
    await first.fillDisk();
    await first.agent.deregister(b);
    await first.agent.register(c, lasting);
    first.kill();
    const second = await start();
    await taken(second);
    await second.agent.heartbeat(a);
    await expect(second.agent.heartbeat(b)).rejects.toMatchObject({ code: "not_found" });
    // Told to register again, while it stays where it is.
    await expect(second.agent.heartbeat(c)).rejects.toMatchObject({ code: "not_found" });
    const revision = etcd.revision();
    await second.agent.register(c, lasting);
    expect(etcd.revision()).toBe(revision);
    await live(120);
    expect([stored(a)?.status, stored(b), stored(c)?.status]).toEqual(["up", undefined, "up"]);
    await second.agent.heartbeat(c);
    await Promise.all([first.bury(), second.bury()]);
  });
});
