import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { sha256 } from "../../kernel/secret.ts";
import { parseAccessKey } from "../../src/access/keys.ts";
import { runCli } from "../program.ts";

let printed: string[];
let refused: string[];

beforeEach(() => {
  printed = [];
  refused = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => void printed.push(line));
  vi.spyOn(console, "error").mockImplementation((line: string) => void refused.push(line));
});
afterEach(() => vi.restoreAllMocks());

const bearer = (...args: readonly string[]) => runCli(["node", "fingerpost", "keys", "bearer", ...args]);

/** The value of a variable that was printed. */
const value = (name: string) => printed.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";

it("a bearer key that is made is one that the resolver takes, with the scopes that were asked for", async () => {
  expect(await bearer("shop", "--scope", "default/web-*", "prod/*")).toBe(0);
  expect(value("FINGERPOST_RESOLVER_TOKEN")).toMatch(/^[0-9a-f]{64}$/);
  expect(parseAccessKey(value("FINGERPOST_KEYS"))).toEqual({
    name: "shop",
    digest: await sha256(value("FINGERPOST_RESOLVER_TOKEN")),
    scopes: [
      { namespace: "default", service: "web-*" },
      { namespace: "prod", service: "*" },
    ],
  });
});

it("each bearer key is another, and opens everything where no scope was asked for", async () => {
  await bearer("shop");
  const first = value("FINGERPOST_RESOLVER_TOKEN");
  printed = [];
  await bearer("shop");
  expect(value("FINGERPOST_RESOLVER_TOKEN")).not.toBe(first);
  expect(parseAccessKey(value("FINGERPOST_KEYS"))).not.toHaveProperty("scopes");
});

it.each([
  [["a=b"], /name: must be/],
  [["shop", "--scope", "web"], /--scope web: must be namespace\/service/],
  [["shop", "--scope", "a/b,c=d"], /--scope a\/b,c=d: must be/],
  [["shop", "--scope", ...Array.from({ length: 101 }, () => "a/b")], /more than 100 scopes/],
])("a bearer key for %j is not made", async (args, reason) => {
  expect(await bearer(...args)).toBe(2);
  expect(refused.join("\n")).toMatch(reason);
  expect(printed).toEqual([]);
});
