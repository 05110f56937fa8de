import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { applyChanges } from "../chaos/broken/change.ts";
import { MUTATIONS } from "./mutations.ts";

const PROJECT_DIR = fileURLToPath(new URL("../..", import.meta.url));

it("every mutation changes sources as they are today", () => {
  expect(MUTATIONS.length).toBeGreaterThan(12);
  for (const { changes } of MUTATIONS) {
    for (const change of changes) {
      const source = readFileSync(`${PROJECT_DIR}/${change.file}`, "utf8");
      expect(applyChanges(change.file, source, [change])).not.toBe(source);
    }
  }
});
