import { expect, test } from "vitest";
import { FingerpostError } from "../../kernel/errors.ts";
import { systemClock } from "../../kernel/clock.ts";
import { createLog } from "../../node/log.ts";
import { createEtcd } from "./etcd.ts";
import { connect, parseEndpoint } from "./transport.ts";

test.each([
  ["http://127.0.0.1:2379", "127.0.0.1:2379"],
  ["https://etcd.example", "etcd.example"],
  ["etcd-0:2379", "etcd-0:2379"],
  ["http://[::1]:2379/", "[::1]:2379"],
])("%s is the endpoint %s", (endpoint, host) => {
  expect(parseEndpoint(endpoint).host).toBe(host);
});

test("a wrong endpoint is refused at the start, and not when the ones before it fail", () => {
  const parts = { clock: systemClock, random: () => 0, log: createLog("test", "silent") };
  expect(() => createEtcd({ endpoints: ["http://etcd-0:2379", "http://etcd-1/path"], ...parts })).toThrow(
    FingerpostError,
  );
});

test.each(["", "ftp://etcd:2379", "http://etcd:2379/v3", "http://etcd:99999", "http://name:secret@etcd:2379"])(
  "%s is refused as an endpoint, and not repeated, as it may hold a password",
  (endpoint) => {
    const refused = () => connect(endpoint, {});
    expect(refused).toThrow(FingerpostError);
    expect(refused).not.toThrow("secret");
  },
);
