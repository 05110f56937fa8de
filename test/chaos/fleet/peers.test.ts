import { Agent, createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { createPorts } from "../../../dev/ports.ts";
import { systemClock } from "../../../kernel/clock.ts";
import { systemRandom } from "../../../kernel/random.ts";
import type { Context } from "./context.ts";
import { startPeerLines } from "./peers.ts";

const BODY = "x".repeat(100_000);

it("what a member sends to another goes over the line of the two, request by request, and nowhere else", async () => {
  const context: Context = {
    options: { dir: "unused" },
    dir: "unused",
    clock: systemClock,
    ports: createPorts(systemRandom),
    processes: [],
    lines: [],
    say: () => undefined,
  };
  const servers: Server[] = [];
  const members = [];
  for (const name of ["etcd-0", "etcd-1", "etcd-2"]) {
    const server = createServer(async (asked, answer) => {
      let bytes = 0;
      for await (const chunk of asked) bytes += (chunk as Buffer).byteLength;
      answer.end(`${name} ${asked.url} ${bytes}`);
    });
    await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
    servers.push(server);
    members.push({ name, peerPort: (server.address() as AddressInfo).port });
  }
  const peers = await startPeerLines(context, members);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(async () => {
    agent.destroy();
    await Promise.all(context.lines.map(({ proxy }) => proxy.close()));
    await peers.close();
    for (const server of servers) server.closeAllConnections();
    await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
    context.ports.release();
  });
  /** As Go sends to a proxy: one connection for whoever is asked, as long as it may be kept. */
  const send = (from: string, to: string, path: string) =>
    new Promise<string>((resolve) => {
      const { hostname, port } = new URL(peers.environmentOf(from)["HTTP_PROXY"] ?? "");
      const sent = request({ agent, hostname, port, method: "POST", path: `${to}${path}` }, (answer) => {
        let text = "";
        answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
        answer.on("end", () => resolve(text));
      });
      sent.on("error", () => resolve("failed"));
      sent.end(BODY);
    });
  const url = (name: string) => peers.urlOf(name);
  const refuse = (name: string, on: boolean) => context.lines.find((line) => line.name === name)?.proxy.refuse(on);

  expect(context.lines).toHaveLength(6);
  expect(await send("etcd-0", url("etcd-1"), "/raft?a=b")).toBe(`etcd-1 /raft?a=b ${BODY.length}`);
  expect(await send("etcd-0", url("etcd-2"), "/leases")).toBe(`etcd-2 /leases ${BODY.length}`);
  await refuse("etcd-0>etcd-2", true);
  expect(await send("etcd-0", url("etcd-2"), "/raft")).toBe("failed");
  expect(await send("etcd-0", url("etcd-1"), "/raft")).toContain("etcd-1");
  expect(await send("etcd-1", url("etcd-2"), "/raft")).toContain("etcd-2");
  await refuse("etcd-0>etcd-2", false);
  expect(await send("etcd-0", url("etcd-2"), "/raft")).toContain("etcd-2");
  expect(await send("etcd-0", "http://0.0.0.0:1", "/raft")).toBe("failed");
});
