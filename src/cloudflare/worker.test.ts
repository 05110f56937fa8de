import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createWorker } from "./index.ts";

const context = { waitUntil: () => undefined };
const least = {
  UPSTASH_REDIS_REST_URL: "http://127.0.0.1:1",
  UPSTASH_REDIS_REST_TOKEN: "a-secret",
  FINGERPOST_OPEN: "true",
};
const lines: string[] = [];

beforeEach(() => {
  lines.length = 0;
  vi.stubGlobal("caches", { default: { match: () => Promise.resolve(undefined), put: () => Promise.resolve() } });
  for (const level of ["log", "warn", "error"] as const) {
    vi.spyOn(console, level).mockImplementation((line: string) => void lines.push(line));
  }
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

it("a Worker tells once of a variable that nothing reads, and not what it is set to", async () => {
  const worker = createWorker();
  const env = { ...least, FINGERPOST_FRESHMS: "a-secret" };
  for (let round = 0; round < 2; round++) {
    expect((await worker.fetch(new Request("http://r/healthz"), env, context)).status).toBe(200);
  }
  expect(lines).toEqual([expect.stringContaining("FINGERPOST_FRESHMS")]);
  expect(lines.join()).not.toContain("a-secret");
});

it("a Worker whose variables are wrong answers 500 to everything, and names all of them once in its log", async () => {
  const worker = createWorker();
  const env = { ...least, FINGERPOST_OPEN: "a-secret", FINGERPOST_NAMESPACES: "a/b" };
  for (const path of ["/healthz", "/v1/services/web"]) {
    const response = await worker.fetch(new Request(`http://r${path}`), env, context);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("a-secret");
  }
  expect(lines).toEqual([expect.stringMatching(/cannot start/)]);
  for (const name of ["FINGERPOST_OPEN", "FINGERPOST_NAMESPACES"]) expect(lines[0]).toContain(name);
  expect(lines[0]).not.toContain("a-secret");
});

it("a Worker of a program's own is refused a path that is none", async () => {
  const worker = createWorker({ basePath: "own/" });
  expect((await worker.fetch(new Request("http://r/healthz"), least, context)).status).toBe(500);
  expect(lines).toEqual([expect.stringContaining("basePath")]);
});

it("a Worker under a path answers nothing elsewhere", async () => {
  const worker = createWorker({ basePath: "/own" });
  const statusOf = async (path: string) => (await worker.fetch(new Request(`http://r${path}`), least, context)).status;
  expect([await statusOf("/own/healthz"), await statusOf("/healthz")]).toEqual([200, 404]);
});
