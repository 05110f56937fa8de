import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { problemStatus } from "../contract/problem.ts";
import { FingerpostError } from "../kernel/errors.ts";
import { readJson, refuseForeignHosts } from "./guard.ts";

describe("a port on loopback", () => {
  async function statusFor(host: string, hostListening = "127.0.0.1"): Promise<number> {
    const app = new Hono();
    app.onError((thrown) => new Response(null, { status: problemStatus(FingerpostError.from(thrown).code) }));
    app.use(refuseForeignHosts(hostListening));
    app.get("/", () => new Response("ok"));
    return (await app.request("/", { headers: { host } })).status;
  }

  it.each(["localhost", "LOCALHOST", "LocalHost:7070", "127.0.0.1:7070", "[::1]:7070"])(
    "serves the host %s, whatever its case",
    async (host) => {
      expect(await statusFor(host)).toBe(200);
    },
  );

  it.each(["example.com", "EXAMPLE.com:7070", "localhost.example.com", ""])("refuses the host %j", async (host) => {
    expect(await statusFor(host)).toBe(421);
    expect(await statusFor(host, "LOCALHOST")).toBe(421);
  });
});

describe("a JSON body", () => {
  const read = (...chunks: Uint8Array<ArrayBuffer>[]) => {
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk);
        controller.close();
      },
    });
    const headers = { "content-type": "application/json" };
    return readJson(new Request("http://localhost", { method: "PUT", headers, body, duplex: "half" }), 64);
  };

  it("is read whole where a chunk ends inside a character", async () => {
    expect(await read(Buffer.from([0x22, 0xc3]), Buffer.from([0xa9, 0x22]))).toBe("é");
  });

  it("that its sender has left in the middle is an invalid argument, and no defect of ours", async () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error("aborted")) });
    const headers = { "content-type": "application/json" };
    const request = new Request("http://localhost", { method: "PUT", headers, body, duplex: "half" });
    await expect(readJson(request, 64)).rejects.toMatchObject({ code: "invalid_argument" });
  });

  it.each([
    ["in its middle", [0x22, 0xff, 0xfe, 0xc3, 0x22]],
    ["cut off at its end", [0x22, 0x22, 0xc3]],
  ])("that is not UTF-8 %s is refused, never repaired", async (_where, bytes) => {
    await expect(read(Buffer.from(bytes))).rejects.toMatchObject({
      code: "invalid_argument",
      violations: [{ pointer: "", detail: "must be UTF-8" }],
    });
  });
});
