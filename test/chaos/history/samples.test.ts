import { expect, test } from "vitest";
import { instance } from "../../support/instance.ts";
import { etcdMetrics, ownMetrics } from "./prometheus.ts";
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
