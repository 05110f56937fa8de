import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../kernel/clock.ts";
import { instance } from "../../support/instance.ts";
import { until } from "../../support/until.ts";
import type { Fleet, FleetProcess } from "../fleet/fleet.ts";
import type { HistoryEvent } from "./event.ts";
import { etcdMetrics, ownMetrics } from "./prometheus.ts";
import { startSamples } from "./samples.ts";
import { canonical } from "./states.ts";

const ETCD = `
# HELP grpc_server_started_total Total number of RPCs started on the server.
grpc_server_started_total{grpc_method="Authenticate",grpc_service="etcdserverpb.Auth",grpc_type="unary"} 3
grpc_server_started_total{grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"} 0
grpc_server_started_total{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"} 5
grpc_server_handled_total{grpc_code="OK",grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"} 1
grpc_server_handled_total{grpc_code="Canceled",grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"} 2
grpc_server_handled_total{grpc_code="OK",grpc_method="Authenticate",grpc_service="etcdserverpb.Auth",grpc_type="unary"} 3
etcd_debugging_mvcc_watcher_total 4
etcd_debugging_lease_granted_total 9
etcd_debugging_lease_revoked_total 2
`;

test("of etcd's metrics the requests begun, and what is open now, are told; leases only of a member's first life", () => {
  const told = { requests: { Authenticate: 3, Watch: 5 }, streams: 2, watchers: 4 };
  expect(etcdMetrics(ETCD, true)).toEqual({ ...told, leases: 7 });
  expect(etcdMetrics(ETCD, false)).toEqual(told);
  expect(etcdMetrics("", true)).toEqual({ requests: {}, streams: 0 });
});

test("a process' own metrics are summed over their labels, without the buckets of histograms", () => {
  const text = `fingerpost_x_total{a="1"} 2
fingerpost_x_total{a="2"} 3
fingerpost_lag_seconds_bucket{le="0.1"} 7
fingerpost_lag_seconds_count 7
nodejs_heap_bytes 5
`;
  expect(ownMetrics(text)).toEqual({ fingerpost_x_total: 5, fingerpost_lag_seconds_count: 7 });
});

test("states are equal, byte by byte, exactly if they hold the same, whatever the order of what they were read in", () => {
  const a = instance("a", { metadata: { x: "1", y: "2" } });
  const b = instance("b");
  const one = canonical(
    new Map([
      ["web", [a, b]],
      ["api", [b]],
    ]),
  );
  const { id, ...rest } = a;
  const other = canonical(
    new Map([
      ["gone", []],
      ["api", [b]],
      ["web", [b, { ...rest, metadata: { y: "2", x: "1" }, id }]],
    ]),
  );
  expect(JSON.stringify(other)).toBe(JSON.stringify(one));
  const changed = canonical(
    new Map([
      ["web", [{ ...a, weight: a.weight + 1 }, b]],
      ["api", [b]],
    ]),
  );
  expect(changed["web"]).not.toBe(one["web"]);
  expect(changed["api"]).toBe(one["api"]);
});

test("a process that does not answer, or is gone, keeps no other from being sampled, each second", async () => {
  const server = createServer((request, response) => {
    // The one under /silent is asked as well, and never answers.
    if (request.url === "/metrics") response.end("fingerpost_leases 3\n");
  });
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const make = (name: string, fields: Partial<FleetProcess> = {}) =>
    ({
      name,
      kind: "agent",
      url,
      life: () => 1,
      pid: () => process.pid,
      state: () => "running",
      logBytes: () => 7,
      ...fields,
    }) as FleetProcess;
  const gone = () => {
    throw new Error("it does not run");
  };
  const processes = [
    make("agent-0"),
    make("agent-1", { url: `${url}/silent` }),
    make("agent-2", { pid: gone, state: () => "gone" }),
    make("agent-3", { url: `${url}/silent`, state: () => "paused" }),
    make("etcd-0", { kind: "etcd", url: `${url}/silent` }),
  ];
  const events: HistoryEvent[] = [];
  const recorder = { at: () => performance.now(), record: (event: HistoryEvent) => void events.push(event), events };
  const fleet = { processes, etcd: { members: processes.slice(4) } } as unknown as Fleet;
  const stop = startSamples(fleet, { ...recorder, close() {} }, systemClock);
  const of = (name: string) => events.filter((event) => event.type === "sample" && event.process === name);
  await until("all that run are sampled twice", () => ["0", "1", "3"].every((one) => of(`agent-${one}`).length >= 2));
  await stop();
  expect(of("agent-0")[0]).toMatchObject({ life: 1, logBytes: 7, metrics: { fingerpost_leases: 3 } });
  expect(of("agent-1")[0]).not.toHaveProperty("metrics");
  expect(of("agent-3")[0]).not.toHaveProperty("metrics");
  expect(events.filter((event) => event.type !== "sample")).toEqual([]);
  expect(of("agent-2")).toEqual([]);
  const [first, second] = of("agent-0").map((event) => (event.type === "sample" ? event : undefined));
  expect(first?.sockets).toBeGreaterThan(0);
  expect(first?.handles).toBeGreaterThan(first?.sockets ?? 0);
  expect(second?.cpuSeconds).toBeGreaterThanOrEqual(first?.cpuSeconds ?? Infinity);
});
