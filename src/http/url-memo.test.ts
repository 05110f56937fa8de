import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OPERATIONS } from "./operations.ts";
import { readQuery } from "./query.ts";
import { createQuestion, type Question } from "./question.ts";
import { NO_FILTERS } from "../memory/selection.ts";
import { createUrlMemo, keyOf } from "./url-memo.ts";

const AT = "https://resolver";
const question = (type: Question["type"], service = "web") =>
  createQuestion(type, { namespace: "default", service }, NO_FILTERS);

describe("what a URL asks", () => {
  it("is remembered whatever the host, and whatever the key of a pick", () => {
    const memo = createUrlMemo();
    const [lookup, pick] = [question("service"), question("pick-by-key")];
    memo.remember(`${AT}/v1/services/web`, lookup);
    memo.remember(`${AT}/v1/services/web/pick?tag=a&key=user-1&limit=2`, pick);
    expect(memo.get("http://127.0.0.1:8787/v1/services/web")).toBe(lookup);
    expect(memo.get(`${AT}/v1/services/web/pick?tag=a&key=user-2&limit=2`)).toBe(pick);
    expect(memo.get(`${AT}/v1/services/web/pick?tag=a&key=&limit=2`)).toBe(pick);
    for (const other of ["?", "/", "/pick", "/pick?tag=a&limit=2", "/pick?tag=a&key=b%20c&limit=2", "/pick?key=b"]) {
      expect(memo.get(`${AT}/v1/services/web${other}`)).toBeUndefined();
    }
  });

  it("is not remembered past 512 characters, nor with a key that is escaped", () => {
    const memo = createUrlMemo();
    const path = "/v1/services/web?tag=".padEnd(512, "x");
    memo.remember(AT + path, question("service"));
    expect(memo.get(AT + path)).toBeDefined();
    memo.remember(`${AT}${path}x`, question("service"));
    expect(memo.get(`${AT}${path}x`)).toBeUndefined();
    memo.remember(`${AT}/v1/services/web/pick?key=a%20b`, question("pick-by-key"));
    expect(memo.get(`${AT}/v1/services/web/pick?key=a%20b`)).toBeUndefined();
  });

  it("is forgotten for others once there are too many, or too long ones, except where it is in use", () => {
    for (const [count, padding] of [
      [20_000, ""],
      [5000, `?tag=${"x".repeat(450)}`],
    ] as const) {
      const memo = createUrlMemo();
      const url = (index: number) => `${AT}/v1/services/s-${index}${padding}`;
      for (let index = 0; index <= count; index++) {
        memo.remember(url(index), question("service"));
        memo.get(url(0));
      }
      expect(memo.get(url(0))).toBeDefined();
      expect(memo.get(url(1))).toBeUndefined();
      expect(memo.get(url(count))).toBeDefined();
    }
  });
});

it("the key of a pick is read as the query is, or not at all", () => {
  // Without a fragment, which no server is sent.
  const part = fc.constantFrom("key=", "&", "?", "a", "~", "%61", "+", "=", "tag=x", "meta.key=y", "k%65y=");
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const url = `${AT}/v1/services/web/pick?${parts.join("")}`;
      const read = keyByQuery(url);
      fc.pre(read !== "refused");
      expect([undefined, read]).toContain(keyOf(url));
    }),
    { numRuns: 1000 },
  );
});

function keyByQuery(url: string): string | undefined {
  try {
    return readQuery(url, OPERATIONS.pick.parameters).key;
  } catch {
    return "refused";
  }
}
