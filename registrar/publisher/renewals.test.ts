import { expect, it } from "vitest";
import { serviceKey } from "../../contract/redis-keys.ts";
import { DOCUMENT_LIFE_MS } from "../signing/seal.ts";
import { createRenewals } from "./renewals.ts";

it("a clock that is set forward past the end of what was signed by it has all of it signed again", () => {
  let nowMs = 1_000_000;
  const renewals = createRenewals({ namespace: "default", clock: { now: () => nowMs }, random: () => 1 });
  const written = () => renewals.wrote([{ key: serviceKey("default", "web"), value: "" }]);
  written();
  expect(renewals.takeServices()).toEqual([]);
  nowMs += DOCUMENT_LIFE_MS;
  expect(renewals.takeServices()).toEqual(["web"]);
  expect(renewals.takeServices()).toEqual([]);
  written();
  expect(renewals.takeServices()).toEqual([]);
});
