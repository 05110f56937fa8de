import { describe, expect, it } from "vitest";
import { decodeCatalog } from "../../contract/catalog.ts";
import type { Head } from "../../contract/head.ts";
import { catalogKey, serviceKey } from "../../contract/redis-keys.ts";
import { decodeSnapshot, type Instance } from "../../contract/snapshot.ts";
import { instance } from "../../test/support/instance.ts";
import { unsealed } from "../signing/seal.ts";
import { planCommit, type CommitInput, type PlannedRequest } from "./commit-plan.ts";
import { COMMIT_SCRIPT, headGuard } from "./commit-script.ts";
import type { Published } from "./published.ts";
import { REQUEST_BYTES_MAX, REQUEST_KEYS_MAX } from "./request-size.ts";

const NOW_MS = Date.UTC(2026, 10, 21);

function instances(service: string, count: number, padding = ""): Instance[] {
  return Array.from({ length: count }, (_, index) => instance(`${service}-${index}`, { metadata: { padding } }));
}

function published(services: Record<string, number> = {}, head: Partial<Head> = {}): Published {
  return {
    head: {
      namespace: "default",
      identity: "i",
      epoch: 5,
      revision: 10,
      etcdRevision: 10,
      complete: true,
      heartbeatAt: 0,
      confirmedAt: 0,
      services: 0,
      instances: 0,
      catalogRevision: 10,
      ring: { floor: 10, entries: [] },
      ...head,
    },
    guard: headGuard("before"),
    services: new Map(Object.entries(services)),
    catalogStale: false,
  };
}

function planOf(input: Partial<CommitInput>) {
  return planCommit({
    published: published(),
    type: "changes",
    changed: [],
    instancesOf: () => [],
    holdsOf: () => undefined,
    etcdRevision: 11,
    revisionMin: 0,
    nowMs: NOW_MS,
    confirmedAt: NOW_MS - 5,
    catalogDue: false,
    seal: unsealed,
    ...input,
  });
}

/** A whole commit, with every request made at the first try. */
function plan(input: Partial<CommitInput>) {
  const steps = planOf(input);
  const requests: PlannedRequest[] = [];
  for (;;) {
    requests.push(steps.request());
    const result = steps.made();
    if (!result) continue;
    const chunks = requests.map(({ writes }) => writes);
    return { requests, chunks, result, changes: steps.changes(), writesCatalog: steps.writesCatalog() };
  }
}

/** As Upstash's protocol sends it: the larger of the two ways. */
function requestBytes({ writes, head = "" }: PlannedRequest): number {
  const keys = writes.map(({ key }) => key);
  const values = writes.flatMap(({ value, expiresInMs }) => [value, String(expiresInMs ?? "")]);
  const command = ["EVAL", COMMIT_SCRIPT, String(keys.length + 1), "head", ...keys, "guard", "guard", head, ...values];
  return Buffer.byteLength(JSON.stringify(command));
}

describe("a planned commit", () => {
  it("stamps every changed service with a revision above the last, though etcd's is behind", () => {
    const { chunks, result } = plan({ changed: ["a"], instancesOf: () => instances("a", 1), etcdRevision: 4 });
    expect(result.head).toMatchObject({ revision: 11, etcdRevision: 4, services: 1, instances: 1 });
    const snapshot = decodeSnapshot(chunks[0]?.[0]?.value ?? "", "default", "a");
    expect(snapshot).toMatchObject({ epoch: 5, revision: 11, etcdRevision: 4 });
    expect(result.head.ring.entries).toEqual([[11, "a", "added"]]);
  });

  it("leaves the revision as it is for a heartbeat", () => {
    const { chunks, result, changes } = plan({});
    expect(chunks).toEqual([[]]);
    expect(changes).toBe(0);
    expect(result.head).toMatchObject({ revision: 10, etcdRevision: 11, heartbeatAt: NOW_MS, confirmedAt: NOW_MS - 5 });
  });

  it("ends a service by a tombstone that expires, once", () => {
    const first = plan({ published: published({ a: 2 }), changed: ["a"] });
    const [write] = first.chunks[0] ?? [];
    expect(decodeSnapshot(write?.value ?? "", "default", "a")).toMatchObject({
      instances: [],
      tombstoneUntil: NOW_MS + 120_000,
    });
    expect(write?.expiresInMs).toBe(180_000);
    expect(first.result.head.ring.entries).toEqual([[11, "a", "removed"]]);
    expect(plan({ published: first.result, changed: ["a"] }).changes).toBe(0);
  });

  it("says nothing of a service that came and went between two commits", () => {
    expect(plan({ changed: ["a"] })).toMatchObject({ changes: 0, chunks: [[]] });
  });

  it("writes the catalog when a stale one is due, and with the names that are published", () => {
    const added = plan({ changed: ["b"], published: published({ a: 1 }), instancesOf: () => instances("b", 2) });
    expect(added.writesCatalog).toBe(false);
    const due = plan({ published: added.result, catalogDue: true });
    const catalog = due.chunks[0]?.find(({ key }) => key === catalogKey("default"));
    expect(decodeCatalog(catalog?.value ?? "", "default")).toMatchObject({
      revision: 11,
      services: new Map([
        ["a", 1],
        ["b", 2],
      ]),
    });
    expect(plan({ published: due.result, catalogDue: true }).writesCatalog).toBe(false);
  });

  it("never lets the ring's floor pass the catalog", () => {
    let now = published();
    for (let round = 0; round < 300; round++) {
      const service = `a-service-with-a-rather-long-name-${round}`;
      now = plan({ published: now, changed: [service], instancesOf: () => instances(service, 1) }).result;
      expect(now.head.catalogRevision).toBeGreaterThanOrEqual(now.head.ring.floor);
    }
    expect(now.head.ring.floor).toBeGreaterThan(10);
  });

  it("splits a large batch into bounded requests, the names before all and the exact catalog last", () => {
    const changed = Array.from({ length: 450 }, (_, index) => `s${index}`);
    const { requests, chunks, result } = plan({
      published: published({ gone: 1 }),
      changed: [...changed, "gone"],
      instancesOf: (service) => (service === "gone" ? [] : instances(service, 2, "x".repeat(2000))),
    });
    for (const request of requests) {
      expect(request.writes.length).toBeLessThanOrEqual(REQUEST_KEYS_MAX);
      expect(requestBytes(request)).toBeLessThanOrEqual(REQUEST_BYTES_MAX);
    }
    expect(requests.map(({ head }) => head !== undefined)).toEqual(requests.map((_, at) => at === requests.length - 1));
    const writes = chunks.flat();
    const announced = decodeCatalog(writes[0]?.value ?? "", "default");
    expect(announced.revision).toBe(10);
    expect([...announced.services.keys()].toSorted()).toEqual([...changed, "gone"].toSorted());
    const exact = decodeCatalog(writes.at(-1)?.value ?? "", "default");
    expect(exact.revision).toBe(result.head.revision);
    expect([...exact.services.keys()].toSorted()).toEqual(changed.toSorted());
  });

  it("fills with an empty ring whose floor is its revision, and is complete then", () => {
    const { result } = plan({
      type: "fill",
      published: published({ a: 0, old: 0 }, { complete: false, ring: { floor: 3, entries: [[4, "old", "removed"]] } }),
      changed: ["a", "old"],
      instancesOf: (service) => (service === "a" ? instances("a", 3) : []),
      etcdRevision: 20,
    });
    expect(result.head).toMatchObject({
      revision: 20,
      complete: true,
      services: 1,
      instances: 3,
      catalogRevision: 20,
      ring: { floor: 20, entries: [] },
    });
  });

  it("serialises each service once, as it is when its request is next", () => {
    const changed = Array.from({ length: 2000 }, (_, index) => `s${index}`);
    const asked: string[] = [];
    const steps = planOf({
      type: "fill",
      changed,
      instancesOf(service) {
        asked.push(service);
        return instances(service, 10);
      },
    });
    expect(asked.length).toBeLessThanOrEqual(REQUEST_KEYS_MAX + 1);
    let requests = 1;
    while (!steps.made()) requests++;
    expect(asked).toEqual(changed);
    expect(requests).toBeLessThanOrEqual(changed.length / REQUEST_KEYS_MAX + 3);
    expect(steps.changes()).toBe(changed.length);
  });

  it("keeps to the size of a request also where a document is all quotes, or beyond ASCII", () => {
    for (const padding of ['"'.repeat(1500), "\u00e9".repeat(1500)]) {
      const changed = Array.from({ length: 150 }, (_, index) => `s${index}`);
      const { requests } = plan({ changed, instancesOf: (service) => instances(service, 3, padding) });
      for (const request of requests) expect(requestBytes(request)).toBeLessThanOrEqual(REQUEST_BYTES_MAX);
      expect(requests.length).toBeLessThan(6);
    }
  });

  it("sends a snapshot that is larger than a request should be by itself, the head after it", () => {
    const { requests, result } = plan({
      published: published({ large: 1, small: 1 }, { instances: 2 }),
      changed: ["small", "large"],
      instancesOf: (service) => instances(service, service === "large" ? 5000 : 1, "x".repeat(300)),
    });
    expect(requests.map(({ writes, head }) => [writes.map(({ key }) => key), head !== undefined])).toEqual([
      [["fp:{default}:s:small"], false],
      [["fp:{default}:s:large"], false],
      [[], true],
    ]);
    expect(result.head).toMatchObject({ services: 2, instances: 5001 });
  });

  it("leaves out the one snapshot that Redis refuses for its size, and publishes the others", () => {
    const steps = planOf({
      published: published({ b: 2 }, { instances: 2 }),
      changed: ["a", "b", "c", "huge"],
      instancesOf: (service) => instances(service, service === "huge" ? 50 : 1, "x".repeat(300)),
      catalogDue: true,
    });
    const limit = 10_000;
    const written: string[] = [];
    const leftOut: string[] = [];
    let result: Published | undefined;
    while (!result) {
      const request = steps.request();
      if (requestBytes(request) <= limit) {
        written.push(...request.writes.map(({ key }) => key));
        result = steps.made();
      } else {
        leftOut.push(...[steps.shrink()?.leftOut ?? []].flat());
      }
    }
    expect(leftOut).toEqual(["huge"]);
    expect(written).toEqual(
      ["a", "b", "c"].map((service) => serviceKey("default", service)).concat(catalogKey("default")),
    );
    expect(steps.changes()).toBe(3);
    // Its name stays known, in case that a try has reached Redis after all.
    expect(result.services).toEqual(
      new Map([
        ["b", 1],
        ["a", 1],
        ["c", 1],
        ["huge", 0],
      ]),
    );
    expect(result.head).toMatchObject({ services: 4, instances: 3 });
    expect(result.head.ring.entries.map(([, service]) => service)).toEqual(["a", "b", "c"]);
  });

  it("has nothing to leave out of a request without snapshots", () => {
    expect(planOf({}).shrink()).toBeUndefined();
  });

  it("counts instances over many commits as often as they are read anew", () => {
    let now = published();
    const sizes = new Map<string, number>();
    for (let round = 1; round <= 60; round++) {
      const service = `s${(round * 7) % 13}`;
      const count = (round * 5) % 4;
      if (count === 0) sizes.delete(service);
      else sizes.set(service, count);
      now = plan({
        published: now,
        changed: [service],
        instancesOf: () => instances(service, count),
        catalogDue: round % 3 === 0,
      }).result;
      const instancesNow = [...sizes.values()].reduce((sum, size) => sum + size, 0);
      expect(now.head).toMatchObject({ services: sizes.size, instances: instancesNow });
      expect(now.services).toEqual(sizes);
      expect(now.names ?? [...sizes.keys()].toSorted()).toEqual([...sizes.keys()].toSorted());
    }
  });
});
