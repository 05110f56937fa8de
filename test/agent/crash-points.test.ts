import { expect, it } from "vitest";
import { instanceKey, type InstanceRef } from "../../contract/etcd-keys.ts";
import { createManualClock } from "../support/clock.ts";
import { temporaryFolder } from "../support/folder.ts";
import { ref, request } from "./agent-on-memory.ts";
import { startRun, type Run } from "./crash-points.ts";
import { createMemoryEtcd, type MemoryEtcd } from "./memory-etcd.ts";

/** The weight a caller registered an instance with, or that it deregistered it. */
type Wish = number | "gone";

/** What callers were told of an instance, and what was not answered. */
interface Told {
  answered: Wish;
  open: Wish | undefined;
}

const refs = ["a", "b", "c", "d"].map((name) => ref(name));
const weightOf = (etcd: MemoryEtcd, of: InstanceRef) => {
  const entry = etcd.entries.get(instanceKey(of));
  return entry ? (JSON.parse(entry.value) as { weight: number }).weight : "gone";
};

/** Every kind of write there is, one after the other; ends early when the process dies. */
async function live(run: Run, etcd: MemoryEtcd, told: Map<string, Told>, settle: () => Promise<void>): Promise<void> {
  const [a, b, c, d] = refs as [InstanceRef, InstanceRef, InstanceRef, InstanceRef];
  const tell = async (of: InstanceRef, wish: Wish) => {
    if (run.isDead()) return;
    const now: Told = told.get(of.instance) ?? { answered: "gone", open: undefined };
    told.set(of.instance, now);
    now.open = wish;
    const { agent } = run;
    const write =
      wish === "gone" ? agent.deregister(of) : agent.register(of, request({ ttlSeconds: 600, weight: wish }));
    void write.then(
      () => Object.assign(now, { answered: wish, open: undefined }),
      (error: unknown) => {
        // The dead run's own deadline passes with everybody's clock.
        if (!run.isDead()) throw error;
      },
    );
    await settle();
  };
  await tell(a, 1);
  await tell(b, 1);
  await tell(a, 2);
  await tell(c, 1);
  await tell(b, "gone");
  for (const lease of run.renewed) etcd.expire(lease);
  await settle();
  await tell(c, 3);
  await tell(d, 1);
  await tell(d, "gone");
}

async function untilSettled(run: Run): Promise<void> {
  // Real files: their answers come by the event loop, and not with the manual clock.
  const deadlineMs = performance.now() + 5000;
  while (!run.isDead() && performance.now() < deadlineMs) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    const { pendingWrites, takingUp, recovering } = run.agent.counts();
    if (pendingWrites + takingUp + recovering === 0 && run.journal.state().type === "whole") return;
  }
}

/**
 * Runs that die at the given steps, and then one that lives. Gives the steps of the last that died, and a line for
 * everything that is not as it was promised.
 */
async function tryDying(diesAtSteps: readonly number[]): Promise<{ readonly steps: number; readonly wrong: string[] }> {
  const dir = temporaryFolder();
  const clock = createManualClock();
  const etcd = createMemoryEtcd();
  const told = new Map<string, Told>();
  const runs: Run[] = [];
  let stepsLast = 0;
  for (const [index, diesAtStep] of diesAtSteps.entries()) {
    const run = await startRun({ dir, etcd, clock, diesAtStep });
    runs.push(run);
    await untilSettled(run);
    if (index === 0) await live(run, etcd, told, () => untilSettled(run));
    stepsLast = run.steps();
    run.kill();
  }
  const before = new Set(etcd.entries.keys());
  const last = await startRun({ dir, etcd, clock });
  await untilSettled(last);
  const grants = new Set([...etcd.entries.values()].map(({ lease }) => lease));
  // Whatever nobody renews ends.
  for (const lease of grants) if (!last.renewed.has(lease)) etcd.expire(lease);
  await untilSettled(last);

  const wrong: string[] = [];
  const at = `dying at step ${diesAtSteps.join(", then ")}`;
  for (const [name, { answered, open }] of told) {
    if (open !== undefined || answered === "gone" || !before.has(instanceKey(ref(name)))) continue;
    if (weightOf(etcd, ref(name)) !== answered) wrong.push(`${name} left before its next heartbeat; ${at}`);
  }
  const alive = new Set<string>();
  for (const [name, { answered, open }] of told) {
    const beat = await last.agent.heartbeat(ref(name)).then(
      () => true,
      () => false,
    );
    await untilSettled(last);
    const found = weightOf(etcd, ref(name));
    if (![answered, open].includes(found)) wrong.push(`${name} is ${found}, and was ${answered}; ${at}`);
    // Of one that was registered and of which nothing was asked since, no beat is refused; of one that is gone, each.
    if (open === undefined && beat !== (answered !== "gone")) wrong.push(`${name} has its heartbeat ${beat}; ${at}`);
    if (beat) alive.add(name);
  }
  // What was not answered may be there or not, but not for good unless somebody answers for it.
  for (let seconds = 0; seconds < 1300; seconds++) {
    if (seconds % 200 === 0) for (const name of alive) await last.agent.heartbeat(ref(name));
    await clock.advance(1000);
  }
  await untilSettled(last);
  for (const { instance } of refs) {
    const isThere = weightOf(etcd, ref(instance)) !== "gone";
    if (isThere !== alive.has(instance)) wrong.push(`${instance} ${isThere ? "stays for good" : "left"}; ${at}`);
  }
  for (const run of [...runs, last]) await run.bury();
  return { steps: stepsLast, wrong };
}

async function tryAll(runs: (step: number) => readonly number[], stepsLeast: number): Promise<void> {
  const { steps, wrong } = await tryDying(runs(Infinity));
  expect(steps).toBeGreaterThan(stepsLeast);
  for (let step = 1; step <= steps; step++) wrong.push(...(await tryDying(runs(step))).wrong);
  expect(wrong).toEqual([]);
}

it("a kill at any step loses nothing that was answered, and leaves nothing behind that nobody answers for", async () => {
  await tryAll((step) => [step], 40);
});

it("a kill at any step of the take-up, and one after the other, is taken up by the next start", async () => {
  await tryAll((step) => [Infinity, step], 8);
  await tryAll((step) => [Infinity, step, step], 8);
});
