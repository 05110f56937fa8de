import { expect, it } from "vitest";
import { bearerToken, digestsEqual, sha256 } from "./secret.ts";

it("takes a token only from a well-formed Bearer header, whatever the scheme's case", () => {
  expect(bearerToken("Bearer abc.DEF-1_~+/=")).toBe("abc.DEF-1_~+/=");
  expect(bearerToken("bearer abc")).toBe("abc");
  for (const header of [undefined, null, "", "Bearer", "Bearer ", "Basic abc", "Bearer a b", "abc", "Bearer é"]) {
    expect(bearerToken(header)).toBeUndefined();
  }
  expect(bearerToken(`Bearer ${"a".repeat(8193)}`)).toBeUndefined();
});

it("tells digests apart wherever they differ", async () => {
  const digest = await sha256("secret");
  expect(digestsEqual(digest, await sha256("secret"))).toBe(true);
  for (const index of [0, 15, 31]) {
    const other = digest.slice();
    other[index] = (other[index] ?? 0) ^ 1;
    expect(digestsEqual(digest, other)).toBe(false);
  }
  expect(digestsEqual(digest, digest.slice(0, 31))).toBe(false);
});
