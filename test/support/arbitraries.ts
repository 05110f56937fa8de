import * as fc from "fast-check";
import type { Catalog } from "../../contract/catalog.ts";
import type { Head, RingEntry } from "../../contract/head.ts";
import type { Hold, StoredSnapshot } from "../../contract/holds.ts";
import type { Registration } from "../../contract/registration.ts";
import type { Instance } from "../../contract/snapshot.ts";

/** What a name may be, short ones mostly; among them what JavaScript's own objects have for names. */
export const aName: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,11}$/) },
  { weight: 1, arbitrary: fc.constantFrom("constructor", "toString", "hasOwnProperty", "a".repeat(128), "0") },
);

/** Numbers at the bounds of whatever may be bounded. */
export const anAbsurdNumber: fc.Arbitrary<number> = fc.constantFrom(
  -1,
  -0,
  0.5,
  1e308,
  -1e308,
  5e-324,
  2 ** 31,
  2 ** 32,
  2 ** 52,
  2 ** 52 + 1,
  2 ** 53 - 1,
  2 ** 53,
  8_640_000_000_000_001,
);

/** Texts that are taken for something else, or cut, by whoever is careless with them. */
export const aHostileText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    "",
    "__proto__",
    "constructor",
    "prototype",
    "null",
    "NaN",
    "\u0000",
    "\n",
    "\r\nX-Injected: 1",
    "\ud800",
    "\u2028",
    "🦊".repeat(40),
    "../..",
    "%2e%2e%2f",
    "{}",
    "x".repeat(5000),
    "1.2.3-".padEnd(400, "9."),
    "9".repeat(400),
  ),
  fc.string({ unit: "binary", maxLength: 20 }),
);

/** Any JSON, with names that objects have by themselves. */
export const anyJson: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(null, true, false, "", 0, [], {}, [[]], [null], { a: {} }),
  anAbsurdNumber,
  aHostileText,
  fc.jsonValue({ maxDepth: 3 }),
  fc.dictionary(aHostileText, fc.jsonValue({ maxDepth: 1 }), { maxKeys: 3 }),
);

/** JSON as no serialiser writes it. */
export const anOddJsonText: fc.Arbitrary<string> = fc.constantFrom(
  "",
  " ",
  "NaN",
  "Infinity",
  "1e999",
  "-1e999",
  '{"__proto__":{"status":"up"}}',
  '{"a":1,"a":2}',
  `${"[".repeat(20_000)}${"]".repeat(20_000)}`,
  `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`,
  "[".repeat(50_000),
  "\ufeff{}",
  '"\\ud800"',
  "{'a':1}",
  "[1,]",
);

const metadataKey = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,9}$/).filter((key) => !RESERVED.includes(key));
const RESERVED = ["__proto__", "constructor", "prototype"];
const shortText = fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 });
const time = fc.date({ min: new Date(0), max: new Date("2200-01-01"), noInvalidDate: true });

/** A registration that etcd may hold, as the codec writes it. */
export function aRegistration(id: fc.Arbitrary<string> = aName): fc.Arbitrary<Registration> {
  return fc.record(
    {
      id,
      address: fc.oneof(
        fc.ipV4(),
        fc.constantFrom("::1", "2001:db8::7", "fe80::1"),
        fc.constantFrom("web-1.internal", "localhost", "a_b"),
      ),
      port: fc.integer({ min: 1, max: 65_535 }),
      protocol: fc.constantFrom("http", "https", "grpc", "tcp", "x+y"),
      url: fc.constantFrom("https://example.com", "https://example.com:8443/a?b=c", "wss://a.example"),
      version: fc.oneof(shortText, fc.constantFrom("1.2.3", "2.0.0-rc.1", "1.0", "v3.1.0")),
      region: aName,
      zone: aName,
      weight: fc.integer({ min: 0, max: 65_535 }),
      tags: fc.uniqueArray(shortText, { maxLength: 4 }),
      metadata: fc.dictionary(metadataKey, fc.string({ unit: "grapheme", maxLength: 12 }), {
        maxKeys: 4,
        noNullPrototype: true,
      }),
      status: fc.constantFrom<Registration["status"]>("up", "draining", "down"),
      cause: shortText,
      registeredAt: time.map((at) => at.toISOString()),
    },
    {
      requiredKeys: ["id", "address", "port", "protocol", "weight", "tags", "metadata", "status", "registeredAt"],
      noNullPrototype: true,
    },
  );
}

export function anInstance(id: fc.Arbitrary<string> = aName): fc.Arbitrary<Instance> {
  return fc
    .tuple(aRegistration(id), fc.boolean())
    .map(([registration, suspect]) => (suspect ? { ...registration, status: "suspect" } : registration));
}

/** An epoch or a revision. */
export const aVersionNumber: fc.Arbitrary<number> = fc.oneof(
  fc.nat(),
  fc.maxSafeNat().map((n) => n % (2 ** 52 + 1)),
);

export const aHold: fc.Arbitrary<Hold> = fc.record(
  {
    id: aName,
    cause: shortText,
    since: fc.maxSafeNat(),
    until: fc.maxSafeNat(),
    agent: aName,
    ttlSeconds: fc.oneof(fc.nat(), fc.double({ min: 0, max: 1e9, noNaN: true }).map(Math.abs)),
  },
  { requiredKeys: ["id", "cause", "since", "until"], noNullPrototype: true },
);

export const aSnapshot: fc.Arbitrary<StoredSnapshot> = fc.record(
  {
    namespace: aName,
    service: aName,
    epoch: aVersionNumber,
    revision: aVersionNumber,
    etcdRevision: aVersionNumber,
    publishedAt: time.map((at) => at.toISOString()),
    tombstoneUntil: fc.maxSafeNat(),
    instances: fc.uniqueArray(anInstance(), { maxLength: 5, selector: ({ id }) => id }),
    holds: fc.array(aHold, { maxLength: 3 }),
  },
  {
    requiredKeys: ["namespace", "service", "epoch", "revision", "etcdRevision", "publishedAt", "instances"],
    noNullPrototype: true,
  },
);

const aRingEntry: fc.Arbitrary<RingEntry> = fc.tuple(
  aVersionNumber,
  aName,
  fc.constantFrom<RingEntry[2]>("added", "removed"),
);

export const aHead: fc.Arbitrary<Head> = fc.record(
  {
    namespace: aName,
    identity: fc.stringMatching(/^[0-9a-f]{32}$/),
    epoch: aVersionNumber,
    revision: aVersionNumber,
    etcdRevision: aVersionNumber,
    complete: fc.boolean(),
    heartbeatAt: fc.maxSafeNat(),
    confirmedAt: fc.maxSafeNat(),
    services: fc.nat(),
    instances: fc.nat(),
    catalogRevision: aVersionNumber,
    ring: fc.record(
      { floor: aVersionNumber, entries: fc.array(aRingEntry, { maxLength: 8 }) },
      { noNullPrototype: true },
    ),
  },
  { noNullPrototype: true },
);

export const aCatalog: fc.Arbitrary<Catalog> = fc.record(
  {
    namespace: aName,
    epoch: aVersionNumber,
    revision: aVersionNumber,
    services: fc.array(fc.tuple(aName, fc.nat()), { maxLength: 12 }).map((entries) => new Map(entries)),
  },
  { noNullPrototype: true },
);
