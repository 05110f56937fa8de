import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Kept } from "../../bench/support/report.ts";
import { runNode } from "./run-process.ts";

// The whole of `npm run bench:resolver -- --short`, once for all tests: every real part, and no figure that counts.

const MAIN = fileURLToPath(new URL("../../bench/resolver/main.ts", import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "fingerpost-bench-test-"));
  // Some twenty processes of ours are started: what Node makes of the sources is made once.
  const env = { NODE_COMPILE_CACHE: join(folder, "compiled") };
  const { code, errors } = await runNode([MAIN, "--short", "--out", folder], env);
  if (code !== 0) throw new Error(`it ended with ${code}:\n${errors}`);
}, 90_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function kept(name: string): Kept {
  return JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as Kept;
}

it.each([
  ["hot", ["lookup: constant, body and headers", "lookup: resolver", "filtered lookup: resolver", "pick: resolver"]],
  ["alternatives", ["etcd3, a range for each lookup", "resolver"]],
  ["cost", ["@upstash/redis, a GET for each request"]],
  ["stampede", ["Redis round trip over the line", "constant Hono Worker", "resolver"]],
  ["redisDown", ["healthy", "black hole, while it lasts", "refused, while it lasts"]],
  ["freshness", ["etcd3 watch, a SET an event; a GET for each lookup", "resolver, defaults", "resolver, fresh 100 ms"]],
  ["memory", ["constant Hono Worker: start", "resolver: start", "resolver: services of 2 instances"]],
])("%s gives figures for us and for its baseline, and says on what and with what they were taken", (name, subjects) => {
  const { figures, goals, machine, versions, workload, mode } = kept(name);
  expect(Object.keys(figures)).toEqual(expect.arrayContaining(subjects));
  for (const row of Object.values(figures)) {
    for (const value of Object.values(row)) expect(value).not.toBeNaN();
  }
  expect(goals.length).toBeGreaterThan(0);
  for (const { actual } of goals) expect(actual).toEqual(expect.any(Number));
  expect(machine).toMatchObject({ cores: expect.any(Number), kernel: expect.stringContaining("Linux") });
  expect(versions).toHaveProperty("redis");
  expect(Object.keys(workload).length).toBeGreaterThan(0);
  expect(mode).toBe("short");
});

it("a crowd that asks a new isolate for one service costs Redis hardly more than one command", () => {
  const commands = kept("stampede").figures["resolver"]?.["Redis commands"];
  expect(commands).toBeGreaterThanOrEqual(1);
  // A reading that takes too long, on a machine with much else to do, is given up for another one; that it is one in
  // all otherwise is shown in test/resolver/workerd.test.ts.
  expect(commands).toBeLessThanOrEqual(5);
});

it("Redis runs about as many commands as the formula says, and one for each request of the baseline", () => {
  const [baseline, ours] = Object.values(kept("cost").figures);
  expect(baseline?.["Redis commands"]).toBe(baseline?.["lookups"]);
  const [measured, formula] = [Number(ours?.["commands per million lookups"]), Number(ours?.["by the formula"])];
  // A machine that is busy may read none in an interval. One that counts wrongly finds nothing, or every lookup.
  expect(measured).toBeGreaterThan(formula / 10);
  // A machine that is busy makes fewer lookups a second than the formula takes for given, never more commands.
  expect(measured).toBeLessThan(formula * 2);
});

it("everything that fits is held", () => {
  expect(kept("memory").figures["resolver: services of 2 instances"]).toMatchObject({ "services held": 200 });
});

it("the summary holds every measurement, with its goals and its command", () => {
  const text = readFileSync(join(folder, "README.md"), "utf8");
  for (const title of ["Hot lookups", "Against reading the store", "Cost", "Stampede", "Redis down", "Freshness"]) {
    expect(text).toContain(`\n## ${title}\n`);
  }
  expect(text).toContain("`npm run bench:resolver -- --short --only redisDown`");
  expect(text.match(/goal at (most|least)/g)?.length).toBeGreaterThanOrEqual(20);
});
