import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAccessKey } from "./keys.ts";
import { parseScope, scopedCaller } from "./scopes.ts";

const digest = "ab".repeat(32);

function caller(...texts: readonly string[]) {
  const scopes = texts.map((text) => parseScope(text)).filter((scope) => scope !== undefined);
  return scopedCaller("ci", scopes);
}

describe("a scope", () => {
  it.each([
    ["default/web", ["web"], ["web2", "Web", "we", "webb"]],
    ["default/web-*", ["web-", "web-a", "web-a-b"], ["web", "a-web-"]],
    ["default/*-api", ["x-api", "-api"], ["api", "x-api2"]],
    ["default/a*c*e", ["ace", "abcde", "aceace"], ["ac", "ae", "aec", "ace2"]],
    ["default/aa*aa", ["aaaa", "aabaa"], ["aa", "aaa"]],
    ["default/a**b", ["ab", "axb"], ["a", "b"]],
    ["default/*", ["a", "web"], []],
    ["*/web", ["web"], ["api"]],
    ["def*/web", ["web"], ["api"]],
    ["other/*", [], ["web"]],
    ["default/w.b", ["w.b"], ["web"]],
  ])("%s covers what it says and no more", (scope, covered, others) => {
    const ci = caller(scope);
    expect(covered.filter((name) => !ci.may("default", name))).toEqual([]);
    expect(others.filter((name) => ci.may("default", name))).toEqual([]);
  });

  it("matches as the same pattern does as a regular expression", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 });
    const pattern = fc.string({ unit: fc.constantFrom("a", "b", "*"), minLength: 1, maxLength: 7 });
    fc.assert(
      fc.property(pattern, letters, (text, name) => {
        const expected = new RegExp(`^${text.replaceAll("*", ".*")}$`).test(name);
        expect(caller(`n/${text}`).may("n", name)).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });

  it("opens its own namespace alone", () => {
    const ci = caller("shop/*", "prod-*/web");
    expect(["shop", "prod-eu", "prod", "default"].map((namespace) => ci.mayList(namespace))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(ci.may("shop", "api")).toBe(true);
    expect(ci.may("prod-eu", "web")).toBe(true);
    expect(ci.may("prod-eu", "api")).toBe(false);
    expect(ci.may("default", "web")).toBe(false);
  });

  it.each([
    [["*/*"], true],
    [["a/b", "**/*"], true],
    [["*/a*"], false],
    [["a/*"], false],
  ])("%j: unrestricted %s", (texts, expected) => {
    expect(caller(...texts).unrestricted).toBe(expected);
  });

  it("that is missing opens nothing", () => {
    const nobody = scopedCaller("ci", []);
    expect([nobody.may("default", "web"), nobody.mayList("default"), nobody.unrestricted]).toEqual([
      false,
      false,
      false,
    ]);
  });

  it.each(["web", "/web", "default/", "a/b/c", "a/b c", "a/ü", `a/${"x".repeat(129)}`])("is not %j", (text) => {
    expect(parseScope(text)).toBeUndefined();
  });
});

describe("a key", () => {
  it("without scopes opens everything, and with scopes what they cover", () => {
    expect(parseAccessKey(` ci=${digest.toUpperCase()} `)).toEqual({
      name: "ci",
      digest: new Uint8Array(32).fill(0xab),
    });
    expect(parseAccessKey(`ci=${digest}@default/web-*+prod/*`)).toMatchObject({
      name: "ci",
      scopes: [
        { namespace: "default", service: "web-*" },
        { namespace: "prod", service: "*" },
      ],
    });
  });

  it.each([
    ["short=abcd", /^must be name=sha256/],
    [digest, /^must be name=sha256/],
    [`ci=${digest}@`, /^scope 1 of key "ci" must be namespace\/service/],
    [`ci=${digest}@a/b+web`, /^scope 2 of key "ci" must be namespace\/service/],
    [`ci=${digest}@${Array.from({ length: 101 }, () => "a/b").join("+")}`, /^key "ci" has more than 100 scopes/],
  ])("%s is refused by its name, and its value is not told", (text, problem) => {
    const parsed = parseAccessKey(text);
    expect(parsed).toEqual({ problem: expect.stringMatching(problem) as string });
    expect(JSON.stringify(parsed)).not.toContain(digest);
  });
});
