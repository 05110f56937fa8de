import { afterAll, beforeAll, expect, test } from "vitest";
import { createLeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { until } from "../support/until.ts";
import { connect, parts, put } from "./fixture.ts";

const AGENTS = 40;
const LEASE_TTL_SECONDS = 5;
const AUTHENTICATE = ["grpc_server_started_total", { grpc_method: "Authenticate" }] as const;

let server: Awaited<ReturnType<typeof startTestEtcd>>;

beforeAll(async () => {
  // Tokens are made again from the log, as far back as the last snapshot of it: with this few entries, hardly any.
  server = await startTestEtcd({ extraArgs: ["--snapshot-count=10"] });
});
afterAll(() => server?.close());

test("forty agents whose etcd lost their tokens in a restart lose no lease, and authenticate once each, spread out", async () => {
  const lost: string[] = [];
  const waitsMs: number[] = [];
  const agents = Array.from({ length: AGENTS }, (_, index) => {
    let refusedAtMs: number | undefined;
    let renewals = 0;
    const etcd = connect(server.endpoint, server.user, {
      onRequest(_method, code) {
        if (code === "unauthenticated") refusedAtMs ??= performance.now();
      },
      onAuthentication() {
        if (refusedAtMs !== undefined) waitsMs.push(performance.now() - refusedAtMs);
      },
    });
    const keeper = createLeaseKeeper({ etcd, ...parts, onRenewal: () => renewals++ });
    const key = `/fingerpost/default/agents/${index}`;
    return {
      etcd,
      keeper,
      renewals: () => renewals,
      write: () => etcd.transact([], [put(key)]),
      async start() {
        const { lease, ttlSeconds } = await etcd.grantLease(LEASE_TTL_SECONDS);
        keeper.add(lease, ttlSeconds, (reason) => lost.push(reason));
      },
    };
  });
  try {
    await Promise.all(agents.map((agent) => agent.start()));
    await until("all are renewed", () => agents.every((agent) => agent.renewals() > 0));
    for (const agent of agents) await agent.write();
    await server.kill("SIGKILL");
    await until("all have noticed", () => agents.every(({ keeper }) => keeper.streams() === 0));
    const before = agents.map((agent) => agent.renewals());
    await server.start();
    await Promise.all(agents.map((agent, index) => until(`agent ${index} writes again`, () => agent.write())));
    await until("all are renewed again", () =>
      agents.every((agent, index) => agent.renewals() - (before[index] ?? 0) >= 4),
    );
    expect(lost).toEqual([]);
    // The server counts from its start.
    expect(await server.counter(...AUTHENTICATE)).toBe(waitsMs.length);
    expect(waitsMs.length).toBeLessThanOrEqual(AGENTS);
    // Otherwise the tokens were not lost, and this proves nothing.
    expect(waitsMs.length).toBeGreaterThan(AGENTS / 2);
    const mean = waitsMs.reduce((sum, ms) => sum + ms, 0) / waitsMs.length;
    const deviation = Math.sqrt(waitsMs.reduce((sum, ms) => sum + (ms - mean) ** 2, 0) / waitsMs.length);
    // Uniform over a second: about 500 and 290.
    expect(mean).toBeGreaterThan(250);
    expect(deviation).toBeGreaterThan(100);
  } finally {
    await Promise.all(agents.map(({ keeper }) => keeper.close()));
    await Promise.all(agents.map(({ etcd }) => etcd.close()));
  }
});
