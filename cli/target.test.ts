import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { problemResponse } from "../contract/problem.ts";
import { FingerpostError } from "../kernel/errors.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
const REGISTER = ["register", "web", "--address", "127.0.0.1", "--port", "80"];

let server: Server;
let url: string;
beforeAll(async () => {
  server = createServer((_, response) => {
    const refusal = problemResponse(new FingerpostError("unauthenticated", "A valid bearer token is required."));
    response.writeHead(refusal.status, Object.fromEntries(refusal.headers));
    void refusal.text().then((text) => response.end(text));
  }).listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
});

function stderrOf(args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const env = { PATH: process.env["PATH"] ?? "", FINGERPOST_TOKEN: "not-the-right-token" };
    execFile(process.execPath, [MAIN, ...args], { env, timeout: 20_000 }, (_, __, stderr) => resolve(stderr));
  });
}

describe("a command whose token is refused", () => {
  it.each([
    ["ls", "resolver", ["ls", "--namespace", "instances"]],
    ["lookup", "resolver", ["lookup", "web"]],
    ["status", "registrar", ["status"]],
    ["register", "registrar", REGISTER],
  ])("names the variables to set: %s, those of the %s", async (_, target, args) => {
    const stderr = await stderrOf([...args, `--${target}`, url]);
    expect(stderr).toContain(
      `Set FINGERPOST_TOKEN, or FINGERPOST_${target.toUpperCase()}_TOKEN, which goes before it (see --help).`,
    );
  });
});
