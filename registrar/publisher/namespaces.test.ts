import { expect, it } from "vitest";
import { createLog } from "../../node/log.ts";
import { createManualClock } from "../../test/support/clock.ts";
import type { NamespacePublisher } from "./namespace-publisher.ts";
import { createNamespaces } from "./namespaces.ts";

it("a leader names first what its successor could not learn from etcd: what is held, and what etcd has nothing in", () => {
  const held = new Map([["held", 3]]);
  const inEtcd = new Set(["a", "b", "held"]);
  const namespaces = createNamespaces({
    configured: ["a"],
    inEtcd: () => inEtcd,
    create: (namespace) => ({ guard: { size: () => held.get(namespace) ?? 0 } }) as NamespacePublisher,
    onFollowed: () => {},
    clock: createManualClock(),
    log: createLog("test", "silent"),
  });
  for (const namespace of ["b", "gone", "held"]) namespaces.follow(namespace);
  expect(namespaces.names()).toEqual(["gone", "held", "a", "b"]);
  held.clear();
  inEtcd.add("gone");
  expect(namespaces.names()).toEqual(["a", "b", "gone", "held"]);
});
