import { createServer as createHttpServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { createPorts } from "../../../dev/ports.ts";
import { systemClock } from "../../../kernel/clock.ts";
import { systemRandom } from "../../../kernel/random.ts";
import type { Context } from "./context.ts";
import { startPeerLines } from "./peers.ts";

it("what a member sends to another goes over the line of the two, whether or not it says who it is", async () => {
  const server = createHttpServer((_request, response) => response.end("answered"));
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  const { port: peerPort } = server.address() as AddressInfo;
  const context: Context = {
    options: { dir: "unused" },
    dir: "unused",
    clock: systemClock,
    ports: createPorts(systemRandom),
    processes: [],
    lines: [],
    say: () => undefined,
  };
  const members = ["etcd-0", "etcd-1", "etcd-2"].map((name) => ({ name, peerPort }));
  // This process is member 1; the others do not run.
  const peers = await startPeerLines(context, members, (name) => (name === "etcd-1" ? process.pid : undefined));
  onTestFinished(async () => {
    await Promise.all(context.lines.map(({ proxy }) => proxy.close()));
    await peers.close();
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const ask = (headers: Record<string, string>) =>
    new Promise<string>((resolve) => {
      get({ port: peers.portOf("etcd-0"), host: "127.0.0.1", agent: false, headers }, (response) => {
        response.on("data", (chunk: Buffer) => resolve(chunk.toString()));
      }).on("error", ({ message }) => resolve(message));
    });
  const line = context.lines.find(({ name }) => name === "etcd-1>etcd-0");

  expect(await ask({})).toBe("answered");
  expect(await ask({ "X-Server-From": "a1b2" })).toBe("answered");
  await line?.proxy.refuse(true);
  expect(await ask({})).toMatch(/ECONNRESET|socket hang up/);
  expect(await ask({ "X-Server-From": "a1b2" })).toMatch(/ECONNRESET|socket hang up/);
  await line?.proxy.refuse(false);
  expect(await ask({ "X-Server-From": "a1b2" })).toBe("answered");
  expect(context.lines.map(({ name }) => name)).toHaveLength(6);
});
