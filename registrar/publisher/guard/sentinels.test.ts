import * as fc from "fast-check";
import { expect, it } from "vitest";
import { sentinelKey } from "../../../contract/etcd-keys.ts";
import { createManualClock } from "../../../test/support/clock.ts";
import { anOddJsonText } from "../../../test/support/arbitraries.ts";
import { mutatedText } from "../../../test/support/mutations.ts";
import { createSentinels } from "./sentinels.ts";

it("a sentinel that says anything at all tells of a TTL that a hold can be stored with, or of none", () => {
  const value = fc.oneof(
    mutatedText(fc.record({ agent: fc.string(), ttlSeconds: fc.nat() }).map((one) => JSON.stringify(one))),
    anOddJsonText.map((odd) => `{"ttlSeconds":${odd}}`),
  );
  fc.assert(
    fc.property(value, (text) => {
      const sentinels = createSentinels(createManualClock());
      const entry = { key: sentinelKey("a", "7"), value: text, lease: "7", createRevision: 1, modRevision: 1 };
      sentinels.apply({ type: "put", entry });
      const owner = sentinels.ownerOf("7");
      expect(owner?.agent).toBe("a");
      expect(JSON.parse(JSON.stringify(owner))).toEqual(owner);
      expect(sentinels.presenceOf("a")?.ttlSeconds).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 300 },
  );
});
