import { expect, test } from "vitest";
import type { Clock } from "../../kernel/clock.ts";
import { createManualClock } from "../../test/support/clock.ts";
import { createLog } from "../../node/log.ts";
import { createLeaseKeeper, RENEWALS_IN_FLIGHT_MAX, type LeaseLossReason } from "./lease-keeper.ts";
import { EtcdError, type Etcd, type RenewalHandlers } from "./port.ts";

/** Streams whose answers the test decides on; `denied` leases end the stream as etcd 3.5.28 and later do. */
function createStreams(clock: Clock) {
  const denied = new Set<string>();
  const dead = new Set<string>();
  const sent: string[] = [];
  const unanswered: string[] = [];
  let answering = true;
  let latencyMs = 0;
  let opened = 0;
  let handlers: RenewalHandlers | undefined;

  function answer(lease: string): void {
    if (denied.has(lease)) end("permission_denied");
    else handlers?.onRenewal({ lease, ttlSeconds: dead.has(lease) ? 0 : 30 });
  }
  function end(code: "permission_denied" | "unavailable"): void {
    const ending = handlers;
    handlers = undefined;
    ending?.onEnd(new EtcdError(code, code));
  }
  const etcd: Pick<Etcd, "openRenewals"> = {
    openRenewals(of) {
      opened++;
      handlers = of;
      const own = of;
      return {
        renew(lease) {
          sent.push(lease);
          clock.after(latencyMs, () => {
            if (handlers !== own) return;
            if (answering) answer(lease);
            else unanswered.push(lease);
          });
        },
        close: () => (handlers = undefined),
      };
    },
  };
  return {
    etcd,
    denied,
    dead,
    sent,
    end,
    opened: () => opened,
    slow: (ms: number) => (latencyMs = ms),
    stall() {
      answering = false;
    },
    goOn() {
      answering = true;
      for (const lease of unanswered.splice(0)) answer(lease);
    },
  };
}

function setUp(count: number) {
  const clock = createManualClock();
  const streams = createStreams(clock);
  const lost: [string, LeaseLossReason][] = [];
  let renewals = 0;
  let seed = 1;
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
  const log = createLog("test", "silent");
  const keeper = createLeaseKeeper({ etcd: streams.etcd, clock, random, log, onRenewal: () => renewals++ });
  for (let index = 0; index < count; index++) {
    const lease = `lease-${index}`;
    keeper.add(lease, 30, (reason) => lost.push([lease, reason]));
  }
  return { clock, streams, keeper, lost, renewals: () => renewals };
}

test("every lease is renewed at least twice in its TTL, over one stream, spread over the interval", async () => {
  const { clock, streams, keeper, lost } = setUp(1000);
  await clock.advance(10_000);
  const bySecond: number[] = [];
  for (let second = 0; second < 20; second++) {
    const before = streams.sent.length;
    await clock.advance(1000);
    bySecond.push(streams.sent.length - before);
  }
  const counts = new Map<string, number>();
  for (const lease of streams.sent) counts.set(lease, (counts.get(lease) ?? 0) + 1);
  expect(counts.size).toBe(1000);
  expect(Math.min(...counts.values())).toBeGreaterThanOrEqual(2);
  expect(Math.max(...bySecond)).toBeLessThan(250);
  expect(streams.opened()).toBe(1);
  expect(keeper.streams()).toBe(1);
  expect(lost).toEqual([]);
});

test("a stalled etcd is sent a bounded number of renewals, none of them twice on one stream", async () => {
  const { clock, streams } = setUp(5000);
  streams.stall();
  await clock.advance(9000);
  expect(streams.sent).toHaveLength(RENEWALS_IN_FLIGHT_MAX);
  expect(new Set(streams.sent).size).toBe(RENEWALS_IN_FLIGHT_MAX);
  await clock.advance(51_000);
  expect(streams.opened()).toBeLessThanOrEqual(4);
  expect(streams.sent.length).toBeLessThanOrEqual(4 * RENEWALS_IN_FLIGHT_MAX);
});

test("an etcd that is away loses no lease; on its return all are renewed", async () => {
  const { clock, streams, keeper, lost, renewals } = setUp(500);
  await clock.advance(10_000);
  streams.stall();
  streams.end("unavailable");
  await clock.advance(120_000);
  expect(keeper.size()).toBe(500);
  expect(lost).toEqual([]);
  const before = renewals();
  streams.goOn();
  await clock.advance(60_000);
  expect(renewals() - before).toBeGreaterThanOrEqual(500);
});

test("a lease may have ended once its TTL has passed since the sending of a renewal that was answered, until the next one is", async () => {
  const { clock, streams, keeper } = setUp(1);
  await clock.advance(60_000);
  expect(keeper.mayHaveEnded("lease-0")).toBe(false);
  streams.stall();
  await clock.advance(15_000);
  expect(keeper.mayHaveEnded("lease-0")).toBe(false);
  await clock.advance(15_000);
  expect(keeper.mayHaveEnded("lease-0")).toBe(true);
  streams.goOn();
  await clock.advance(10_000);
  expect(keeper.mayHaveEnded("lease-0")).toBe(false);
});

test("a stream that breaks again and again is replaced with backoff", async () => {
  const { clock, streams } = setUp(10);
  await clock.advance(10_000);
  streams.stall();
  for (let elapsedMs = 0; elapsedMs < 30_000; elapsedMs += 10) {
    streams.end("unavailable");
    await clock.advance(10);
  }
  // 3 s is the longest delay, half of it the mean one.
  expect(streams.opened()).toBeLessThan(40);
});

test("a lease that etcd has ended is lost, told once and with its reason; the others go on", async () => {
  const { clock, streams, keeper, lost } = setUp(10);
  await clock.advance(10_000);
  streams.dead.add("lease-3");
  await clock.advance(30_000);
  expect(lost).toEqual([["lease-3", "revoked"]]);
  streams.stall();
  await clock.advance(40_000);
  streams.dead.add("lease-4");
  streams.goOn();
  await clock.advance(60_000);
  expect(lost).toEqual([
    ["lease-3", "revoked"],
    ["lease-4", "expired"],
  ]);
  expect(keeper.size()).toBe(8);
});

test("a lease that may not be renewed is set apart and tried alone; the others keep their renewals", async () => {
  const { clock, streams, lost, keeper } = setUp(200);
  streams.denied.add("lease-7");
  const renewedAtMs = new Map<string, number>();
  let gapMsMax = 0;
  for (let elapsedMs = 0; elapsedMs < 120_000; elapsedMs += 100) {
    const from = streams.sent.length;
    await clock.advance(100);
    for (const lease of streams.sent.slice(from)) {
      if (lease !== "lease-7") gapMsMax = Math.max(gapMsMax, elapsedMs - (renewedAtMs.get(lease) ?? 0));
      renewedAtMs.set(lease, elapsedMs);
    }
  }
  expect(lost).toEqual([]);
  expect(gapMsMax).toBeLessThan(15_000);
  expect(streams.opened()).toBeLessThan(16);
  streams.denied.clear();
  streams.dead.add("lease-7");
  await clock.advance(60_000);
  expect(lost).toEqual([["lease-7", "expired"]]);
  expect(keeper.size()).toBe(199);
});

test("an etcd that answers slowly is renewed less often, by a third, and as before once it is quick again", async () => {
  const { clock, streams, keeper, lost } = setUp(30);
  async function renewalsIn(minutes: number): Promise<number> {
    const before = streams.sent.length;
    await clock.advance(minutes * 60_000);
    return streams.sent.length - before;
  }
  await renewalsIn(1);
  expect(keeper.strain()).toBe(0);
  const atEase = await renewalsIn(10);
  streams.slow(600);
  await renewalsIn(1);
  expect(keeper.strain()).toBeCloseTo(0.5);
  streams.slow(1500);
  await renewalsIn(1);
  expect(keeper.strain()).toBeCloseTo(1);
  const strained = await renewalsIn(10);
  // The waiting for an answer is part of the interval: 10.5 s for 6.75 s or so.
  expect(strained / atEase).toBeGreaterThan(0.55);
  expect(strained / atEase).toBeLessThan(0.7);
  streams.slow(0);
  await renewalsIn(1);
  expect(keeper.strain()).toBe(0);
  expect((await renewalsIn(10)) / atEase).toBeCloseTo(1, 1);
  expect(streams.opened()).toBe(1);
  expect(lost).toEqual([]);
});

test.each([
  { slowMs: 900, what: "slow" },
  { slowMs: 9000, what: "very slow" },
])(
  "an etcd that does not answer at all counts as strained at once, and one $what answer does not",
  async ({ slowMs }) => {
    const { clock, streams, keeper } = setUp(1);
    await clock.advance(60_000);
    streams.slow(slowMs);
    const sent = streams.sent.length;
    while (streams.sent.length === sent) await clock.advance(10);
    streams.slow(0);
    await clock.advance(slowMs);
    expect(keeper.strain()).toBe(0);
    streams.stall();
    await clock.advance(25_000);
    expect(keeper.strain()).toBe(1);
  },
);

test("without leases there is no stream, and a closed keeper sends nothing more", async () => {
  const { clock, streams, keeper } = setUp(2);
  await clock.advance(10_000);
  keeper.remove("lease-0");
  expect(keeper.streams()).toBe(1);
  keeper.remove("lease-1");
  expect(keeper.streams()).toBe(0);
  keeper.add("lease-2", 30, () => {});
  await keeper.close();
  const before = streams.sent.length;
  await clock.advance(60_000);
  expect(streams.sent).toHaveLength(before);
  expect(keeper.size()).toBe(0);
});
