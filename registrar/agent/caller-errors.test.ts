import { expect, test } from "vitest";
import { EtcdError } from "../etcd/port.ts";
import { toCallerError } from "./caller-errors.ts";

test("the caller of a write that was not sent is told to come back when the next one will be", () => {
  const notSent = new EtcdError("unavailable", "10.0.0.1:2379 has failed", undefined, 2400);
  expect(toCallerError(notSent)).toMatchObject({ code: "unavailable", retryAfterSeconds: 3 });
  expect(toCallerError(notSent).message).not.toContain("10.0.0.1");
});
