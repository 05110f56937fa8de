import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeCatalog, encodeCatalog } from "./catalog.ts";
import { decodeHead, encodeHead } from "./head.ts";
import { decodeSnapshotFound, type StoredSnapshot } from "./holds.ts";
import { decodeRegistration, encodeRegistration } from "./registration.ts";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.ts";

// What schema 1 looks like on the wire. These files are never edited: a build that cannot read them, or writes
// something else, breaks a running fleet during its upgrade.
function fixture(name: string): string {
  return readFileSync(new URL(`fixtures/v1/${name}.json`, import.meta.url), "utf8").trim();
}

describe("schema 1", () => {
  it("reads and writes the golden registration byte for byte", () => {
    const text = fixture("registration");
    expect(encodeRegistration(decodeRegistration(text, "web-1"))).toBe(text);
  });

  it("reads and writes the golden snapshot byte for byte", () => {
    const text = fixture("snapshot");
    expect(encodeSnapshot(decodeSnapshot(text, "default", "web"))).toBe(text);
  });

  it("reads and writes the golden snapshot with holds byte for byte, and tells a reader none of them", () => {
    const text = fixture("held");
    const { holds } = decodeSnapshotFound(text, "default", "web");
    const snapshot = decodeSnapshot(text, "default", "web");
    expect(encodeSnapshot({ ...snapshot, holds } as StoredSnapshot)).toBe(text);
    expect(Object.keys(snapshot)).not.toContain("holds");
  });

  it("reads and writes the golden tombstone byte for byte", () => {
    const text = fixture("tombstone");
    expect(encodeSnapshot(decodeSnapshot(text, "default", "old"))).toBe(text);
  });

  it("reads and writes the golden head byte for byte", () => {
    const text = fixture("head");
    expect(encodeHead(decodeHead(text, "default"))).toBe(text);
  });

  it("reads and writes the golden catalog byte for byte", () => {
    const text = fixture("catalog");
    expect(encodeCatalog(decodeCatalog(text, "default"))).toBe(text);
  });

  it.each(["head", "catalog", "snapshot"])("refuses a %s found under another namespace's key", (name) => {
    const decode = { head: decodeHead, catalog: decodeCatalog, snapshot: snapshotOf("web") }[name];
    expect(() => decode?.(fixture(name), "other")).toThrow(/another namespace/);
  });

  it("refuses a snapshot found under another service's key", () => {
    expect(() => decodeSnapshot(fixture("snapshot"), "default", "api")).toThrow(/another service/);
  });

  it("refuses a catalog where a head belongs", () => {
    expect(() => decodeHead(fixture("catalog"), "default")).toThrow(/expected fields/);
  });

  it("tells a newer schema from a broken document", () => {
    const newer = fixture("head").replace('"schema":1', '"schema":2');
    expect(() => decodeHead(newer, "default")).toThrow(/schema 2; this build reads 1/);
  });

  it.each([
    [
      "a revision nobody could count on from",
      (head: string) => head.replace('"revision":43', `"revision":${2 ** 53 - 1}`),
    ],
    ["an epoch nobody could count on from", (head: string) => head.replace(/"epoch":\d+/, `"epoch":${2 ** 53 - 1}`)],
    [
      "a ring too large for a publisher's",
      (head: string) => head.replace("[42,", `${'[42,"x","added"],'.repeat(1100)}[42,`),
    ],
  ])("refuses a head with %s", (_, change) => {
    expect(change(fixture("head"))).not.toBe(fixture("head"));
    expect(() => decodeHead(change(fixture("head")), "default")).toThrow(/expected fields/);
  });

  it.each(["", "null", "[]", "{", '{"schema":1}', "\u0000"])("refuses %j without telling its content", (text) => {
    expect(() => decodeHead(text, "default")).toThrow(/stored document/);
  });
});

function snapshotOf(service: string) {
  return (text: string, namespace: string) => decodeSnapshot(text, namespace, service);
}
