import { describe, expect, it } from "vitest";
import { FingerpostError } from "../kernel/errors.ts";
import { checkSchema } from "./check.ts";
import { parseWith } from "./validation.ts";

const parse = (check: unknown) => parseWith(checkSchema, check, "The check is not valid.");

function violations(check: unknown): string[] {
  try {
    parse(check);
  } catch (error) {
    if (error instanceof FingerpostError) return error.violations.map(({ pointer, detail }) => `${pointer} ${detail}`);
    throw error;
  }
  return [];
}

describe("a check", () => {
  const timing = {
    intervalSeconds: 10,
    timeoutSeconds: 2,
    rise: 2,
    fall: 3,
    initial: "down",
    deregisterAfterSeconds: 3600,
  };

  it("takes the documented defaults for what it leaves out", () => {
    expect(parse({ type: "tcp" })).toEqual({ type: "tcp", ...timing });
    expect(parse({ type: "http" })).toEqual({ type: "http", ...timing, tlsVerify: true, path: "/", method: "GET" });
    expect(parse({ type: "grpc" })).toEqual({ type: "grpc", ...timing, tlsVerify: true, service: "" });
  });

  it("that is made often does not take longer than its interval, though it names no timeout", () => {
    expect(parse({ type: "tcp", intervalSeconds: 1 })).toMatchObject({ timeoutSeconds: 1 });
  });

  it("takes all that is documented", () => {
    const http = {
      type: "http",
      ...timing,
      port: 8081,
      tls: true,
      tlsVerify: false,
      path: "/healthz?full=1&name=%C3%A4",
      method: "HEAD",
      expectStatus: [200, 204, 302],
    };
    expect(parse(http)).toEqual(http);
  });

  it.each([
    [{}, "/type must be http, tcp or grpc"],
    [{ type: "script" }, "/type must be http, tcp or grpc"],
    ["tcp", " must be an object"],
    [{ type: "tcp", path: "/" }, "/path is not a known field"],
    [{ type: "http", url: "http://elsewhere/" }, "/url is not a known field"],
    [{ type: "http", address: "10.0.0.1" }, "/address is not a known field"],
    [{ type: "http", headers: {} }, "/headers is not a known field"],
    [{ type: "grpc", method: "GET" }, "/method is not a known field"],
    [{ type: "http", path: "healthz" }, "/path must start with /"],
    [{ type: "http", path: "/a b" }, "/path must start with /"],
    [{ type: "http", path: "/a\r\nX: y" }, "/path must start with /"],
    [{ type: "http", path: "/a#b" }, "/path must start with /"],
    [{ type: "http", path: "/ä" }, "/path must start with /"],
    [{ type: "http", path: `/${"x".repeat(1024)}` }, "/path must start with /"],
    [{ type: "http", method: "POST" }, "/method must be GET or HEAD"],
    [{ type: "http", expectStatus: [] }, "/expectStatus must hold at least one status"],
    [{ type: "http", expectStatus: [199] }, "/expectStatus/0 must be 200 to 599"],
    [{ type: "http", expectStatus: 200 }, "/expectStatus must be an array of statuses"],
    [{ type: "http", expectStatus: Array(33).fill(200) }, "/expectStatus must hold at most 32"],
    [{ type: "http", tls: "yes" }, "/tls must be true or false"],
    [{ type: "http", tlsVerify: 1 }, "/tlsVerify must be true or false"],
    [{ type: "grpc", service: "x".repeat(257) }, "/service must be at most 256 characters"],
    [{ type: "tcp", port: 0 }, "/port must be 1 to 65535"],
    [{ type: "tcp", port: 1.5 }, "/port must be a whole number"],
    [{ type: "tcp", intervalSeconds: 0.5 }, "/intervalSeconds must be 1 to 3600"],
    [{ type: "tcp", intervalSeconds: 3601 }, "/intervalSeconds must be 1 to 3600"],
    [{ type: "tcp", timeoutSeconds: 0 }, "/timeoutSeconds must be 0.1 to 60"],
    [{ type: "tcp", timeoutSeconds: 61, intervalSeconds: 100 }, "/timeoutSeconds must be 0.1 to 60"],
    [{ type: "tcp", timeoutSeconds: 11 }, "/timeoutSeconds must be at most intervalSeconds"],
    [{ type: "tcp", rise: 0 }, "/rise must be 1 to 100"],
    [{ type: "tcp", fall: 101 }, "/fall must be 1 to 100"],
    [{ type: "tcp", fall: 1.5 }, "/fall must be a whole number"],
    [{ type: "tcp", initial: "draining" }, '/initial must be "down" or "up"'],
    [{ type: "tcp", deregisterAfterSeconds: 9 }, "/deregisterAfterSeconds must be 10 to 604800"],
  ])("refuses %j and names the field and the rule", (check, expected) => {
    expect(violations(check)).toHaveLength(1);
    expect(violations(check)[0]).toContain(expected);
  });

  it("is told every rule it breaks at once", () => {
    expect(violations({ type: "tcp", rise: 0, timeoutSeconds: 9, intervalSeconds: 3, extra: 1 })).toHaveLength(3);
  });
});
