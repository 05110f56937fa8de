import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Kept } from "../../bench/support/report.ts";
import { isMet } from "../../bench/support/result.ts";
import { runNode } from "./run-process.ts";

// The whole of `npm run bench:registrar -- --short`, once for all tests: every real part, and no figure that counts.

const MAIN = fileURLToPath(new URL("../../bench/registrar/main.ts", import.meta.url));

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
  ["authentication", ["KeepAliveOnce by fresh clients", "2 registrars", "JWT: 1 registrar"]],
  ["renewals", ["etcd3, 60 leases and streams", "registrar, 60 instances", "registrar, 400 instances"]],
  ["registration", ["bare etcd3 put loop", "registrar"]],
  ["propagation", ["bare etcd3 watch, a SET an event", "publisher"]],
  ["start", ["bare etcd3 getAll", "publisher, Redis empty", "publisher, Redis filled"]],
  ["failover", ["bare etcd3 election, SIGKILL", "publisher, SIGKILL", "publisher, SIGTERM"]],
])("%s gives figures for us and for its baseline, and says on what and with what they were taken", (name, subjects) => {
  const { figures, goals, machine, versions, workload, mode } = kept(name);
  expect(Object.keys(figures)).toEqual(expect.arrayContaining(subjects));
  for (const row of Object.values(figures)) {
    for (const value of Object.values(row)) expect(value).not.toBeNaN();
  }
  expect(goals.length).toBeGreaterThan(0);
  expect(machine).toMatchObject({ cores: expect.any(Number), kernel: expect.stringContaining("Linux") });
  expect(versions).toHaveProperty("etcd");
  expect(Object.keys(workload).length).toBeGreaterThan(0);
  expect(mode).toBe("short");
});

it("registrars authenticate once at the start, then no more than the goal allows, and lose no instance", () => {
  const { figures, goals } = kept("authentication");
  expect(figures["2 registrars"]).toMatchObject({ "Authenticates at the start": 2, "instances lost": 0 });
  expect(goals.filter((goal) => !isMet(goal))).toEqual([]);
});

it("every fresh client's renewal is an Authenticate", () => {
  const row = kept("authentication").figures["KeepAliveOnce by fresh clients"];
  const authenticates = Number(row?.["Authenticates at the start"]) + Number(row?.["in the steady state"]);
  expect(authenticates).toBeGreaterThan(Number(row?.["renewals by fresh clients"]));
  expect(row?.["renewals by fresh clients"]).toBeGreaterThan(0);
});

it("renewals are counted by etcd, of the baseline's and of ours, and nothing is lost", () => {
  const { figures } = kept("renewals");
  const rowOf = (subject: string) => Number(figures[subject]?.["messages per second"]);
  expect(rowOf("etcd3, 60 leases and streams")).toBeGreaterThan(rowOf("registrar, 60 instances"));
  expect(figures["etcd3, 60 leases and streams"]).toMatchObject({ "instances lost": 0 });
  expect(figures["registrar, 400 instances"]).toMatchObject({ "instances lost": 0 });
});

it("the summary holds every measurement, with its goals and its command", () => {
  const text = readFileSync(join(folder, "README.md"), "utf8");
  for (const title of ["Authentication", "Renewal load", "Registration", "Propagation", "Start", "Failover"]) {
    expect(text).toContain(`\n## ${title}\n`);
  }
  expect(text).toContain("`npm run bench:registrar -- --short --only failover`");
  expect(text.match(/goal at (most|least)/g)?.length).toBeGreaterThanOrEqual(10);
});

it("a measurement that there is none of is named, with those there are", async () => {
  const { code, errors } = await runNode([MAIN, "--only", "nothing"]);
  expect(code).toBe(2);
  expect(errors).toMatch(/no measurement "nothing".*authentication.*failover/);
});
