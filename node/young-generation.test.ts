import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";

// In a process of its own, whose heap has not grown yet.
const PROGRAM = `
import { getHeapSpaceStatistics } from "node:v8";
import { keepYoungGenerationSmall } from ${JSON.stringify(new URL("./young-generation.ts", import.meta.url).href)};
if (process.argv[1] === "small") keepYoungGenerationSmall();
const kept = [];
for (let index = 0; index < 500_000; index++) kept.push({ index, text: "x" + index });
const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
console.log(JSON.stringify({ kept: kept.length, mb: young.space_size / 1e6 }));
`;

const youngMb = (...args: readonly string[]) => {
  const text = execFileSync(process.execPath, ["--input-type=module", "--eval", PROGRAM, ...args], {
    encoding: "utf8",
  });
  return (JSON.parse(text) as { readonly mb: number }).mb;
};

it("what survives by the thousand does not make the young generation grow", () => {
  expect(youngMb("small")).toBeLessThan(youngMb() / 2);
});
