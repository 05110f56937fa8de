import * as fc from "fast-check";
import { expect, test } from "vitest";
import { isName } from "../../client/request.ts";
import { isName as isContractName } from "../../contract/names.ts";

// The contract's rule stands beside a validation library, which the client does without.
test("names are those of the contract", () => {
  const character = fc.constantFrom("a", "Z", "0", ".", "_", "-", "/", " ", "%", "é", "\n");
  fc.assert(
    fc.property(fc.array(character, { maxLength: 130 }), (characters) => {
      expect(isName(characters.join(""))).toBe(isContractName(characters.join("")));
    }),
  );
});
