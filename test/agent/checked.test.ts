import { describe, expect, it } from "vitest";
import { parseRegistrationRequest, REGISTRATION_BYTES_MAX } from "../../contract/registration.ts";
import type { CheckOutcome } from "../../registrar/agent/checks/outcome.ts";
import type { Probe } from "../../registrar/agent/checks/prober.ts";
import { agentOnMemory, ref, request } from "./agent-on-memory.ts";
import type { AgentOptions } from "../../registrar/agent/agent.ts";

const a = ref("a");
const check = { type: "tcp", intervalSeconds: 2, rise: 2, fall: 3 };
const checked = (fields: Readonly<Record<string, unknown>> = {}) =>
  parseRegistrationRequest({ address: "10.0.0.1", port: 8080, check, ...fields });
const untried = { status: "down", cause: "check: no success yet" };
const refused = { status: "down", cause: "check: connection refused" };

/** An agent on a memory etcd, whose checks come to what `outcome` is at the time. */
function setUp(options: Partial<AgentOptions> = {}) {
  const state = { outcome: { type: "passed" } as CheckOutcome, made: 0 };
  const probe: Probe = async () => (state.made++, state.outcome);
  const fail = () => (state.outcome = { type: "failed", reason: "connection refused" });
  const pass = () => (state.outcome = { type: "passed" });
  return { ...agentOnMemory({ probe, ...options }), state, fail, pass };
}

describe("an instance that is checked", () => {
  it("is down until its first success, which is enough, and says so to whoever registers it", async () => {
    const { agent, stored, live, fail, pass } = setUp();
    fail();
    const registered = await agent.register(a, checked());
    expect(registered).toMatchObject({ created: true, instance: untried, liveness: { type: "check", passes: 0 } });
    await live(20);
    expect(stored(a)).toMatchObject(untried);
    pass();
    await live(3);
    expect(stored(a)).toMatchObject({ status: "up" });
    expect(stored(a)).not.toHaveProperty("cause");
  });

  it("is up from the start when its check says so", async () => {
    const { agent, stored, fail, live } = setUp();
    fail();
    await agent.register(a, checked({ check: { ...check, initial: "up" } }));
    expect(stored(a)?.status).toBe("up");
    await live(8);
    expect(stored(a)).toMatchObject(refused);
  });

  it("goes down after its failures in a row, with the cause, and up again after its successes in a row", async () => {
    const { etcd, agent, stored, live, fail, pass } = setUp();
    await agent.register(a, checked());
    await live(5);
    const revision = etcd.revision();
    fail();
    await live(3);
    pass();
    await live(5);
    // Neither a failure too few nor any number of successes is written.
    expect(etcd.revision()).toBe(revision);
    fail();
    await live(8);
    expect(stored(a)).toMatchObject(refused);
    expect(etcd.revision()).toBe(revision + 1);
    pass();
    await live(2.5);
    expect(stored(a)).toMatchObject(refused);
    await live(2.5);
    expect(stored(a)?.status).toBe("up");
    expect(etcd.revision()).toBe(revision + 2);
  });

  it("needs no heartbeat, and one changes nothing", async () => {
    const { agent, stored, live, fail } = setUp();
    await agent.register(a, checked());
    await live(300);
    expect(stored(a)?.status).toBe("up");
    fail();
    await live(8);
    await agent.heartbeat(a);
    expect(stored(a)).toMatchObject(refused);
    await agent.deregister(a);
    await expect(agent.heartbeat(a)).rejects.toMatchObject({ code: "not_found" });
  });

  it("keeps its state, and is not written, when the same is registered again", async () => {
    const { etcd, agent, stored, live, fail } = setUp();
    await agent.register(a, checked());
    await live(5);
    const revision = etcd.revision();
    expect((await agent.register(a, checked())).instance.status).toBe("up");
    fail();
    await live(8);
    expect((await agent.register(a, checked())).instance).toMatchObject(refused);
    expect(etcd.revision()).toBe(revision + 1);
    await agent.register(a, checked({ weight: 5 }));
    expect(stored(a)).toMatchObject({ ...refused, weight: 5 });
  });

  it("that comes to another place starts anew there; another check of the same place does not take it down", async () => {
    const { agent, stored, live, fail } = setUp();
    await agent.register(a, checked());
    await live(5);
    fail();
    await agent.register(a, checked({ check: { ...check, type: "http" } }));
    expect(stored(a)?.status).toBe("up");
    await agent.register(a, checked({ port: 9090 }));
    expect(stored(a)).toMatchObject(untried);
    await live(20);
    expect(stored(a)).toMatchObject(untried);
  });

  it("that an agent before this one had as up stays up until its check says otherwise", async () => {
    const first = setUp();
    await first.agent.register(a, checked());
    await first.live(3);
    const value = JSON.stringify(first.stored(a));
    const second = setUp();
    second.etcd.put("/fingerpost/default/web/a", value);
    second.fail();
    await second.agent.register(a, checked());
    expect(second.stored(a)).toMatchObject({ status: "up", registeredAt: first.stored(a)?.registeredAt });
    await second.live(8);
    expect(second.stored(a)).toMatchObject(refused);
  });

  it("that would not fit with the longest cause is refused, though it would with a heartbeat's", async () => {
    const { agent } = setUp();
    const sizeOf = async (metadata: Record<string, string>) =>
      JSON.stringify((await agent.register(ref("size"), request({ metadata }))).instance).length;
    const size = await sizeOf({ a: "x".repeat(2000), b: "" });
    const metadata = { a: "x".repeat(2000), b: "x".repeat(REGISTRATION_BYTES_MAX - size - 50) };
    await agent.register(a, request({ metadata }));
    const refusal = agent.register(ref("b"), checked({ metadata }));
    await expect(refusal).rejects.toMatchObject({ code: "invalid_argument" });
  });

  it("that drains and comes back is what its check says of a new one", async () => {
    const { agent, stored } = setUp();
    const eager = checked({ check: { ...check, initial: "up" } });
    await agent.register(a, eager);
    await agent.drain(a);
    await agent.register(a, eager);
    expect(stored(a)?.status).toBe("up");
  });

  it("drains without checks, and comes back down until its next success", async () => {
    const { agent, stored, live, state } = setUp({ drainSeconds: 20 });
    await agent.register(a, checked());
    await live(3);
    await agent.drain(a);
    const { made } = state;
    await live(10);
    expect(state.made).toBe(made);
    expect(stored(a)?.status).toBe("draining");
    await agent.register(a, checked());
    expect(stored(a)).toMatchObject(untried);
    await live(2);
    expect(stored(a)?.status).toBe("up");
    await agent.drain(a);
    await live(21);
    expect(stored(a)).toBeUndefined();
    expect(agent.counts().checks.instances).toBe(0);
  });

  it("changes to heartbeats and back by being registered so", async () => {
    const { agent, stored, live, state, fail } = setUp();
    await agent.register(a, checked());
    await live(3);
    await agent.register(a, request());
    const { made } = state;
    await live(2);
    expect(state.made).toBe(made);
    await live(2);
    expect(stored(a)).toMatchObject({ status: "down", cause: "heartbeat" });
    fail();
    await agent.register(a, checked());
    expect(stored(a)).toMatchObject(untried);
    await live(60);
    expect(stored(a)).toMatchObject(untried);
  });

  it("is removed once it was down for as long as its check allows", async () => {
    const { agent, stored, live, fail } = setUp();
    await agent.register(a, checked({ check: { ...check, deregisterAfterSeconds: 60 } }));
    await live(3);
    fail();
    await live(60);
    expect(stored(a)).toMatchObject(refused);
    await live(12);
    expect(stored(a)).toBeUndefined();
    expect(agent.counts()).toMatchObject({ instances: 0, checks: { instances: 0 } });
  });

  it("stays registered, however long it is down, when the file has registered it", async () => {
    const { agent, stored, live, fail, pass } = setUp();
    const fromFile = checked({ check: { ...check, deregisterAfterSeconds: 60 } });
    await agent.register(a, fromFile, undefined, "file");
    await live(3);
    fail();
    await live(600);
    expect(stored(a)).toMatchObject(refused);
    pass();
    await live(6);
    expect(stored(a)?.status).toBe("up");
  });

  it("is put as what it is as soon as etcd is back, also when its last write was never answered", async () => {
    const { etcd, agent, stored, live, fail, pass } = setUp();
    await agent.register(a, checked());
    await live(5);
    etcd.fault = () => "refused";
    fail();
    await live(10);
    expect(stored(a)?.status).toBe("up");
    etcd.fault = () => "none";
    await live(2.5);
    expect(stored(a)).toMatchObject(refused);
    etcd.fault = () => "answer-lost";
    pass();
    await live(4.5);
    fail();
    await live(6);
    etcd.fault = () => "none";
    await live(3);
    expect(stored(a)).toMatchObject(refused);
  });

  it("whose lease is lost while it goes down is put again as down, and up once it is", async () => {
    const { etcd, agent, stored, leaseOf, live, fail, pass } = setUp();
    await agent.register(a, checked());
    await live(5);
    fail();
    etcd.fault = () => "refused";
    etcd.expire(leaseOf(a) ?? "");
    await live(10);
    etcd.fault = () => "none";
    await live(6);
    expect(stored(a)).toMatchObject(refused);
    pass();
    await live(5);
    expect(stored(a)?.status).toBe("up");
  });

  it("that another agent has taken is left to it, and not checked any more", async () => {
    const { etcd, agent, live, fail, state } = setUp();
    await agent.register(a, checked());
    await live(5);
    etcd.put("/fingerpost/default/web/a", "theirs");
    fail();
    await live(10);
    expect(etcd.entries.get("/fingerpost/default/web/a")?.value).toBe("theirs");
    const { made } = state;
    await live(10);
    expect(state.made).toBe(made);
  });

  it("shows what its check saw last", async () => {
    const { clock, agent, live, fail } = setUp();
    await agent.register(a, checked());
    await live(5);
    fail();
    await live(2);
    const [shown] = agent.list({ namespace: "default", limit: 1 }).instances;
    expect(shown?.liveness).toMatchObject({
      type: "check",
      check: { type: "tcp", fall: 3 },
      passes: 0,
      failures: 1,
      last: { result: "failed", reason: "connection refused", latencyMs: 0 },
    });
    const { last, next } = shown?.liveness ?? {};
    expect(Date.parse(last?.at ?? "")).toBeLessThanOrEqual(clock.now());
    expect(Date.parse(next ?? "")).toBeGreaterThan(clock.now());
  });

  it("that nothing could ever reach is refused, with the reason", async () => {
    const { etcd, agent } = setUp();
    const refusal = agent.register(a, checked({ address: "169.254.169.254" }));
    await expect(refusal).rejects.toMatchObject({ code: "invalid_argument", violations: [{ pointer: "/address" }] });
    expect(etcd.entries.size).toBe(0);
  });

  it("ends with its agent", async () => {
    const { agent, live, state } = setUp();
    await agent.register(a, checked());
    await live(3);
    await agent.close({ leave: false });
    const { made } = state;
    await live(30);
    expect(state.made).toBe(made);
  });
});

describe("a crowd that fails together", () => {
  it("is put as down 16 writes at a time, all of it, and back up", async () => {
    const { etcd, agent, stored, live, fail, pass } = setUp();
    const refs = Array.from({ length: 1000 }, (_, index) => ref(`i${index}`));
    await Promise.all(refs.map((each) => agent.register(each, checked())));
    await live(5);
    const statuses = () => new Set(refs.map((each) => stored(each)?.status));
    expect(statuses()).toEqual(new Set(["up"]));
    // Several of them may share a transaction.
    let underWay = 0;
    let most = 0;
    const transact = etcd.transact.bind(etcd);
    etcd.transact = async (...call) => {
      const writes = call[1].filter(({ type }) => type !== "get");
      underWay += writes.length;
      most = Math.max(most, underWay);
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
      underWay -= writes.length;
      return await transact(...call);
    };
    fail();
    await live(60);
    expect(statuses()).toEqual(new Set(["down"]));
    expect(most).toBeLessThanOrEqual(16);
    expect(most).toBeGreaterThan(8);
    pass();
    await live(60);
    expect(statuses()).toEqual(new Set(["up"]));
    expect(most).toBeLessThanOrEqual(16);
    expect(most).toBeGreaterThan(8);
  });
});
