import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { PROBLEM_CONTENT_TYPE } from "../../contract/problem.ts";
import { buildWorker } from "../resolver/workerd.ts";
import type { Answer } from "./exchange.ts";
import { PARTS, startFuzz } from "./run.ts";
import { wrongWith } from "./verdict.ts";

const SEED = 20_261_121;
const CASES = { requests: 100, stored: 8 };

it("whatever is sent, or stands in Redis and etcd, is answered or refused, breaks nothing and changes nothing", async () => {
  const workerScript = async (dir: string) => {
    const path = join(dir, "worker.js");
    writeFileSync(path, await buildWorker());
    return path;
  };
  const fuzz = await startFuzz({ parts: PARTS, workerScript });
  onTestFinished(() => fuzz.close());
  const { findings, answers } = await fuzz.round(SEED, CASES);
  expect(findings).toEqual([]);
  // Neither is all of it refused before it is looked at, nor is all of it in order.
  for (const counts of answers.values()) {
    expect([...counts.keys()]).toEqual(expect.arrayContaining(["200", "400", "401"]));
  }
}, 60_000);

describe("an answer is found wrong", () => {
  const request = { method: "GET", target: "/", pieces: [] };
  const options = { errors: "problem", node: true, secrets: ["s3cret"] } as const;
  const problem = (status: number, code: string) =>
    JSON.stringify({ type: `urn:fingerpost:problem:${code}`, title: "a", status, code, detail: "b" });
  const json = [["content-type", PROBLEM_CONTENT_TYPE]] as const;
  const cases: readonly (readonly [string, number, readonly (readonly [string, string])[], string])[] = [
    ["that is a 500", 500, json, problem(500, "internal")],
    ["that is a 503 without Retry-After", 503, json, problem(503, "unavailable")],
    ["that tells a secret", 200, [], "s3cret"],
    ["that tells a secret in a header", 200, [["etag", "s3cret"]], ""],
    ["that is no problem", 404, [["content-type", "text/plain"]], "404 Not Found"],
    ["whose problem is of another status", 404, json, problem(400, "invalid_argument")],
    ["that is cut off", 200, [["content-type", "application/json"]], '{"a":'],
    ["with a header that came from outside", 200, [["x-injected", "1"]], ""],
  ];

  const verdict = (answer: Omit<Answer, "whole">) =>
    wrongWith(request, { type: "answered", answers: [{ ...answer, whole: true }], ms: 1 }, options);

  it.each(cases)("%s", (_what, status, headers, body) => {
    expect(verdict({ status, headers: new Map(headers), body })).toBeDefined();
  });

  it("that never comes, and right ones are not", () => {
    expect(wrongWith(request, { type: "hung", received: "" }, options)).toBeDefined();
    expect(verdict({ status: 404, headers: new Map(json), body: problem(404, "not_found") })).toContain("its type");
    const right = problem(404, "not_found").replace("problem:not_found", "problem:not-found");
    expect(verdict({ status: 404, headers: new Map(json), body: right })).toBeUndefined();
    expect(verdict({ status: 400, headers: new Map(), body: "" })).toBeUndefined();
  });
});
