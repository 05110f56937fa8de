import { expect, test } from "vitest";
import { createAdmission } from "./admission.ts";

test("requests and their bytes are bounded together, and free again once they leave", () => {
  const admission = createAdmission({ requestsMax: 2, bytesMax: 10 });
  const [first, second] = [admission.enter("read-write"), admission.enter("read-write")];
  expect(() => admission.enter("read-write")).toThrow(/2 requests/);
  first.hold(6);
  expect(() => second.hold(5)).toThrow(/bytes/);
  second.hold(4);
  first.leave();
  const third = admission.enter("read-write");
  third.hold(6);
  expect(() => third.hold(1)).toThrow(/bytes/);
});

test("what readers hold, places and bytes, takes nothing from writers", () => {
  const admission = createAdmission({ requestsMax: 1, bytesMax: 10 });
  const reader = admission.enter("read-only");
  reader.hold(10);
  expect(() => admission.enter("read-only")).toThrow(/1 requests/);
  const writer = admission.enter("read-write");
  writer.hold(10);
  reader.leave();
  expect(() => writer.hold(1)).toThrow(/bytes/);
});
