import { describe, expect, test } from "vitest";
import { readCommandTable, refusalOf } from "./access.ts";
import type { Reply } from "./reply.ts";

/** An entry of COMMAND as Redis 7 gives it; Redis 6 ends after the categories. */
function entry(name: string, flags: string[], categories: string[], subcommands?: Reply[]): Reply {
  const texts = (words: string[]) => words.map((word) => Buffer.from(word));
  const start = [Buffer.from(name), "-2", texts(flags), "0", "0", "0", texts(categories)];
  return subcommands ? [...start, [], [], subcommands] : start;
}

const table = readCommandTable([
  entry("get", ["readonly", "fast"], ["@read", "@string"], []),
  entry("set", ["write"], ["@write", "@string"], []),
  entry("keys", ["readonly"], ["@read", "@dangerous"], []),
  entry("newblocking", ["blocking"], ["@list"], []),
  entry("newadmin", ["admin"], [], []),
  entry("xread", ["readonly", "blocking"], ["@read", "@blocking"], []),
  entry(
    "script",
    [],
    ["@scripting"],
    [entry("script|load", ["noscript"], ["@scripting"]), entry("script|debug", ["noscript"], ["@scripting"])],
  ),
  entry("object", ["readonly"], ["@read"]),
]);

describe("a command", () => {
  test("that the server does not know is refused, and so is an unknown subcommand", () => {
    expect(refusalOf(table, "read-write", ["del", "k"])).toMatch(/^ERR unknown command 'del'/);
    expect(refusalOf(table, "read-write", ["SCRIPT", "nosuch"])).toMatch(/subcommand/);
    expect(refusalOf(table, "read-write", ["x".repeat(1000)])?.length).toBeLessThan(200);
  });

  test("is judged by what the server says of it, so a new one that blocks or administers is refused", () => {
    expect(refusalOf(table, "read-write", ["NewBlocking", "k"])).toMatch(/not available/);
    expect(refusalOf(table, "read-write", ["newadmin"])).toMatch(/not available/);
    expect(refusalOf(table, "read-write", ["SCRIPT", "DEBUG", "YES"])).toMatch(/not available/);
    expect(refusalOf(table, "read-write", ["SCRIPT", "LOAD", "return 1"])).toBeUndefined();
  });

  test("that may block is allowed without its way to wait", () => {
    expect(refusalOf(table, "read-only", ["XREAD", "COUNT", "1", "STREAMS", "block", "0"])).toBeUndefined();
    expect(refusalOf(table, "read-only", ["XREAD", "COUNT", "1", "Block", "0", "STREAMS", "s", "0"])).toBeDefined();
  });

  test("of a reader must be marked as reading only, and neither dangerous nor a script", () => {
    expect(refusalOf(table, "read-only", ["GET", "k"])).toBeUndefined();
    expect(refusalOf(table, "read-only", ["SET", "k", "v"])).toMatch(/^NOPERM/);
    expect(refusalOf(table, "read-only", ["KEYS", "*"])).toMatch(/^NOPERM/);
    expect(refusalOf(table, "read-write", ["KEYS", "*"])).toBeUndefined();
    expect(refusalOf(table, "read-only", ["SCRIPT", "LOAD", "x"])).toMatch(/^NOPERM/);
  });

  test("of a server that lists no subcommands is judged by its container", () => {
    expect(refusalOf(table, "read-only", ["OBJECT", "ENCODING", "k"])).toBeUndefined();
  });
});

test("a reply to COMMAND of another form is an error, never an empty table that allows or refuses at random", () => {
  expect(() => readCommandTable(null)).toThrow(TypeError);
  expect(() => readCommandTable([Buffer.from("get")])).toThrow(TypeError);
});
