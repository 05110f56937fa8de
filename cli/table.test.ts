import { expect, it } from "vitest";
import { table } from "./table.ts";

it("shows nothing that a terminal would obey, and one line for each row", () => {
  const rows = [
    ["web", "\u001b[2Jgone\r\nfake"],
    ["a", "b"],
  ];
  expect(table(["NAME", "CAUSE"], rows)).toBe("NAME  CAUSE\nweb   \uFFFD[2Jgone\uFFFD\uFFFDfake\na     b");
});
