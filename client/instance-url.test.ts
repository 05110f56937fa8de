import { describe, expect, test } from "vitest";
import { instance } from "../test/support/instance.ts";
import { instanceUrl } from "./instance-url.ts";

const base = instance("a", { address: "10.0.0.1" });

test.each([
  ["its address and port", {}, "/v1?x=1", "http://10.0.0.1:8080/v1?x=1"],
  ["an IPv6 address", { address: "fd00::1", protocol: "https" }, "/", "https://[fd00::1]:8080/"],
  ["its public URL", { url: "https://api.example.com/base/" }, "/v1", "https://api.example.com/base/v1"],
  ["dots that stay inside", { url: "https://api.example.com/base" }, "/a/../b", "https://api.example.com/base/b"],
])("a path goes behind %s", (_name, fields, path, expected) => {
  expect(instanceUrl({ ...base, ...fields }, path)).toBe(expected);
});

describe("a path cannot lead elsewhere", () => {
  test.each([
    "//evil.example/x",
    "https://evil.example/x",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/ /x",
    "@evil.example",
    ":99/x",
    ".evil.example",
    "",
    "?x",
    "relative",
  ])("%j", (path) => {
    expect(() => instanceUrl(base, path)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
  });

  test.each(["/../admin", "/a/../../admin", "/%2e%2e/admin", "/.%2E/admin", "/..", "/../base2/x"])(
    "%j, out of the path of its public URL",
    (path) => {
      const tested = { ...base, url: "https://api.example.com/base" };
      expect(() => instanceUrl(tested, path)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    },
  );
});

test.each([{ protocol: "grpc" }, { protocol: "tcp" }, { url: "ftp://example.com" }, { url: "nonsense" }])(
  "an instance with %j is not fetched from",
  (fields) => {
    expect(() => instanceUrl({ ...base, ...fields }, "/")).toThrow(
      expect.objectContaining({ code: "unsupported_protocol" }),
    );
  },
);
