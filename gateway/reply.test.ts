import { ErrorReply } from "@redis/client";
import { expect, test } from "vitest";
import { createReplyEncoder } from "./reply.ts";

test("replies past the limit are refused, added up over one answer", () => {
  const encode = createReplyEncoder("utf8", 10);
  expect(encode([Buffer.from("12345"), "7"])).toEqual({ result: ["12345", 7] });
  expect(encode(Buffer.from("67890"))).toEqual({ result: "67890" });
  expect(() => encode(Buffer.from("1"))).toThrow(/over 10 bytes/);
});

test("an error inside a list stays a text in its place", () => {
  const encode = createReplyEncoder("base64");
  const reply = [Buffer.from("a"), new ErrorReply("ERR no")];
  expect(encode(reply)).toEqual({ result: ["YQ==", Buffer.from("ERR no").toString("base64")] });
});

test("the address of another node is not told", () => {
  const encode = createReplyEncoder("utf8");
  expect(JSON.stringify(encode(new ErrorReply("MOVED 3999 10.0.0.7:6381")))).not.toContain("10.0.0.7");
});

test("integers of 64 bits keep their digits, as text once a number would round them", () => {
  const encode = createReplyEncoder("utf8");
  expect(encode("9007199254740991")).toEqual({ result: 9007199254740991 });
  expect(encode("-9223372036854775808")).toEqual({ result: "-9223372036854775808" });
});
