import { describe, expect, it } from "vitest";
import { FingerpostError } from "../kernel/errors.ts";
import { decodeRegistration, encodeRegistration, parseRegistrationRequest } from "./registration.ts";

const valid = { address: "10.0.0.1", port: 8080 };

function violations(body: unknown): string[] {
  try {
    parseRegistrationRequest(body);
  } catch (error) {
    if (error instanceof FingerpostError) return error.violations.map(({ pointer, detail }) => `${pointer} ${detail}`);
    throw error;
  }
  return [];
}

describe("a registration request", () => {
  it("takes the documented defaults for what it leaves out", () => {
    expect(parseRegistrationRequest(valid)).toEqual({
      ...valid,
      protocol: "http",
      weight: 100,
      tags: [],
      metadata: {},
      status: "up",
      ttlSeconds: 30,
    });
  });

  it.each([
    [{ ...valid, port: 0 }, "/port must be 1 to 65535"],
    [{ ...valid, port: 65_536 }, "/port must be 1 to 65535"],
    [{ ...valid, port: 80.5 }, "/port must be a whole number"],
    [{ ...valid, port: "80" }, "/port must be a number"],
    [{ port: 80 }, "/address is required"],
    [{ address: "a" }, "/port is required"],
    [{ ...valid, address: "http://a" }, "/address must be a host name or an IP address, without scheme or port"],
    [{ ...valid, address: "a:80" }, "/address must be a host name or an IP address, without scheme or port"],
    [{ ...valid, address: "256.1.1.1" }, "/address must be a host name or an IP address, without scheme or port"],
    [{ ...valid, address: "" }, "/address must be a host name or an IP address, without scheme or port"],
    [{ ...valid, address: "a b" }, "/address must be a host name or an IP address, without scheme or port"],
    [{ ...valid, url: "/x" }, "/url must be an absolute"],
    [{ ...valid, url: "https://u:p@a/" }, "/url must be an absolute"],
    [{ ...valid, address: "fe80::1%eth0" }, "/address must be a host name or an IP address"],
    [{ ...valid, url: "https:a" }, "/url must be an absolute"],
    [{ ...valid, url: "https:///a" }, "/url must be an absolute"],
    [{ ...valid, url: "https:\\\\a" }, "/url must be an absolute"],
    [{ ...valid, url: "tcp:///a" }, "/url must be an absolute"],
    [{ ...valid, url: " https://a" }, "/url must be an absolute"],
    [{ ...valid, url: "https://a\u00a0" }, "/url must be an absolute"],
    [{ ...valid, url: "https://a\n" }, "/url must be an absolute"],
    [{ ...valid, url: "https://a/\u0000" }, "/url must be an absolute"],
    [{ ...valid, url: "https://a/\tb" }, "/url must be an absolute"],
    [{ ...valid, url: "https://a/\u0085" }, "/url must be an absolute"],
    [{ ...valid, url: "javascript:alert(1)" }, "/url must be an absolute"],
    [{ ...valid, url: "javascript://a/%0aalert(1)" }, "/url must not have the scheme javascript"],
    [{ ...valid, url: "JavaScript://a/%0aalert(1)" }, "/url must not have the scheme javascript"],
    [{ ...valid, url: "data://a/,x" }, "/url must not have the scheme"],
    [{ ...valid, url: "vbscript://a/" }, "/url must not have the scheme"],
    [{ ...valid, url: "file://a/etc" }, "/url must not have the scheme"],
    [{ ...valid, url: "blob:https://a/b" }, "/url must not have the scheme"],
    [{ ...valid, weight: -1 }, "/weight must be 0 to 65535"],
    [{ ...valid, tags: "a" }, "/tags must be an array of strings"],
    [{ ...valid, tags: ["a", "a"] }, "/tags must not repeat a tag"],
    [{ ...valid, tags: [1] }, "/tags/0 must be a string"],
    [{ ...valid, metadata: ["a"] }, "/metadata must be an object of strings"],
    [{ ...valid, metadata: { a: 1 } }, "/metadata/a must be a string"],
    [{ ...valid, metadata: JSON.parse('{"__proto__":"x"}') }, "/metadata must not have a key"],
    [{ ...valid, metadata: { constructor: "x" } }, "/metadata must not have a key"],
    [{ ...valid, ttlSeconds: 0 }, "/ttlSeconds must be 1 to 3600"],
    [{ ...valid, ttlSeconds: 3601 }, "/ttlSeconds must be 1 to 3600"],
    [{ ...valid, ttlSeconds: "30" }, "/ttlSeconds must be a number"],
    [{ ...valid, status: "down" }, '/status must be "up" or "draining"'],
    [{ ...valid, check: {} }, "/check/type must be http, tcp or grpc"],
    [{ ...valid, check: [] }, "/check must be an object"],
    [{ ...valid, ttlSeconds: 5, check: { type: "tcp" } }, "/check must not stand beside ttlSeconds"],
    [{ ...valid, "a/b": 1 }, "/a~1b is not a known field"],
    [[], " must be an object"],
    [null, " must be an object"],
    ["x", " must be an object"],
  ])("refuses %j and names the field and the rule", (body, expected) => {
    expect(violations(body).join("\n")).toContain(expected);
  });

  it("reports every broken rule at once", () => {
    expect(violations({ address: "a b", port: 0, extra: 1 })).toHaveLength(3);
  });

  it.each(["10.0.0.1", "2001:db8::1", "web.internal", "web_1.internal.", "localhost"])("takes the address %s", (a) => {
    expect(parseRegistrationRequest({ ...valid, address: a }).address).toBe(a);
  });

  it.each([
    "https://a",
    "HTTPS://a:8443/b%20c?d#e",
    "http://[::1]:80/",
    "grpc://a:80",
    "tcp://a:80",
    "ws://ä.example/",
  ])("takes the URL %s, as it was written", (url) => {
    expect(parseRegistrationRequest({ ...valid, url }).url).toBe(url);
  });
});

describe("an etcd value", () => {
  const { ttlSeconds: _, ...fields } = parseRegistrationRequest(valid);
  const registration = { id: "a", ...fields, registeredAt: "2026-11-21T04:30:00.000Z" };

  it("is refused over 4 KiB, counted in bytes and not in characters", () => {
    const metadata = { a: "é".repeat(2000) };
    expect(() => encodeRegistration({ ...registration, metadata })).toThrow(FingerpostError);
    expect(encodeRegistration({ ...registration, metadata: { a: "e".repeat(2000) } })).toContain("eee");
  });

  it("of a newer agent is read without the fields this build does not know", () => {
    const value = JSON.stringify({ ...registration, later: true });
    expect(decodeRegistration(value, "a")).toEqual(registration);
  });

  it("of another instance is refused", () => {
    expect(() => decodeRegistration(encodeRegistration(registration), "b")).toThrow(/instance "a", not "b"/);
  });
});
