import { expect, test } from "vitest";
import { FingerpostError } from "../kernel/errors.ts";
import { checkGatewayConfig, type GatewayConfig } from "./config.ts";

const valid: GatewayConfig = {
  listen: { host: "127.0.0.1", port: 0 },
  token: "a",
  readOnlyToken: "b",
  redisUrl: "redis://user:secret@127.0.0.1:6379",
};

test("a valid configuration passes", () => {
  expect(() => checkGatewayConfig(valid)).not.toThrow();
});

test("every broken rule is named at once, and no secret is", () => {
  const broken: GatewayConfig = {
    ...valid,
    readOnlyToken: "a",
    redisUrl: "http://user:secret@127.0.0.1",
    readOnlyRedisUrl: "secret",
    poolSize: 0,
    requestTimeoutMs: -1,
    concurrentRequestsMax: 1.5,
  };
  const error = thrownBy(() => checkGatewayConfig(broken));
  expect(error.violations.map(({ parameter }) => parameter)).toEqual([
    "readOnlyToken",
    "redisUrl",
    "readOnlyRedisUrl",
    "poolSize",
    "requestTimeoutMs",
    "concurrentRequestsMax",
  ]);
  expect(JSON.stringify([error.message, error.violations])).not.toContain("secret");
});

function thrownBy(run: () => void): FingerpostError {
  try {
    run();
  } catch (error) {
    if (error instanceof FingerpostError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
