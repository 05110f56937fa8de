import { expect, test } from "vitest";
import { createAdmission } from "./admission.ts";

test("requests and their bytes are bounded together, and free again once they leave", () => {
  const admission = createAdmission({ requestsMax: 2, bytesMax: 10 });
  const [first, second] = [admission.enter(), admission.enter()];
  expect(() => admission.enter()).toThrow(/2 requests/);
  first.hold(6);
  expect(() => second.hold(5)).toThrow(/bytes/);
  second.hold(4);
  first.leave();
  const third = admission.enter();
  third.hold(6);
  expect(() => third.hold(1)).toThrow(/bytes/);
});
