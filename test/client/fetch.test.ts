import { createServer, type IncomingMessage, type Server } from "node:http";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createClient, type Client } from "../../client/index.ts";
import type { Instance } from "../../contract/snapshot.ts";
import { answering, answerOf, playResolver, type PlayedResolver } from "./resolver.ts";
import { instance } from "../support/instance.ts";

interface Received {
  readonly id: string;
  readonly request: IncomingMessage;
  readonly body: string;
}

let resolver: PlayedResolver;
let client: Client;
let received: Received[];
const servers: Server[] = [];

beforeEach(async () => {
  resolver = await playResolver();
  received = [];
  client = createClient({ url: resolver.url, token: "resolver-token", random: () => 0 });
});
afterEach(async () => {
  for (const server of servers) server.closeAllConnections();
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  await resolver.close();
});

type Behaviour = "answers" | "cuts after reading";

/** A real instance; what it receives is noted. */
async function start(id: string, behaviour: Behaviour = "answers", weight = 100): Promise<Instance> {
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      received.push({ id, request, body });
      if (behaviour === "answers")
        response.writeHead(200, { "X-Instance": id }).end(`${request.method} ${request.url}`);
      else request.socket.resetAndDestroy();
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, resolve);
  });
  return instance(id, { port: portOf(server), weight });
}

/** An instance whose port nobody listens on. */
async function startGone(id: string): Promise<Instance> {
  const gone = await start(id);
  const server = servers.pop();
  await new Promise((resolve) => server?.close(resolve));
  return gone;
}

function portOf(server: Server): number {
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the server has no port");
  return address.port;
}

function play(...instances: Instance[]): void {
  resolver.play(answering(answerOf("web", instances)));
}

describe("a request to a service", () => {
  test("reaches an instance as it was given, without the resolver's token", async () => {
    play(await start("a"));
    const response = await client.fetch("web", "/path/x?q=1", {
      method: "POST",
      body: "the body",
      headers: { "X-Own": "yes" },
    });
    expect([response.status, await response.text()]).toEqual([200, "POST /path/x?q=1"]);
    expect(received).toMatchObject([{ id: "a", body: "the body" }]);
    expect(received[0]?.request.headers).toMatchObject({ "x-own": "yes" });
    expect(JSON.stringify(received[0]?.request.rawHeaders)).not.toContain("resolver-token");
  });

  test("carries its own Authorization if it has one, and only that", async () => {
    play(await start("a"));
    await client.fetch("web", "/", { headers: { Authorization: "Bearer service-token" } });
    expect(received[0]?.request.headers.authorization).toBe("Bearer service-token");
  });

  test("goes to the instance of its key, and its filters go to the resolver", async () => {
    const instances = await Promise.all(["a", "b", "c"].map((id) => start(id)));
    play(...instances);
    const filters = { key: "user-7", region: "eu" };
    const { instance: picked } = await client.pick("web", filters);
    for (let count = 0; count < 5; count++) await client.fetch("web", "/", { filters });
    expect(new Set(received.map(({ id }) => id))).toEqual(new Set([picked.id]));
    expect(resolver.seen.map(({ path }) => path)).toEqual(["/v1/namespaces/default/services/web?region=eu"]);
  });

  test("with a path that would lead elsewhere is refused before anything is asked", async () => {
    play(await start("a"));
    for (const path of ["//evil.example/", "https://evil.example/", "/\\evil.example", "x"]) {
      await expect(client.fetch("web", path)).rejects.toMatchObject({ code: "invalid_argument" });
    }
    expect(resolver.seen).toHaveLength(0);
  });

  test("has an answer of any status, which is not repeated", async () => {
    const server = createServer((request, response) => {
      received.push({ id: "a", request, body: "" });
      response.writeHead(503).end();
    });
    servers.push(server);
    await new Promise<void>((resolve) => {
      server.listen({ host: "127.0.0.1", port: 0 }, resolve);
    });
    play(instance("a", { port: portOf(server) }), await start("b"));
    expect((await client.fetch("web", "/")).status).toBe(503);
    expect(received).toHaveLength(1);
  });
});

describe("when a connection fails", () => {
  test.each(["GET", "POST"])("a %s that was never sent goes to another instance", async (method) => {
    play(await startGone("gone-1"), await startGone("gone-2"), await start("here"));
    const response = await client.fetch("web", "/x", { method, ...(method === "POST" ? { body: "b" } : {}) });
    expect(response.headers.get("X-Instance")).toBe("here");
    expect(received).toMatchObject([{ id: "here", body: method === "POST" ? "b" : "" }]);
  });

  test.each([
    ["GET", 2],
    ["HEAD", 2],
    ["POST", 1],
    ["PUT", 1],
    ["DELETE", 1],
    ["PATCH", 1],
  ])("a %s that may have arrived is sent %i times", async (method, times) => {
    play(await start("cuts", "cuts after reading"), await start("here"));
    const outcome = await client.fetch("web", "/", { method }).then(
      (response) => response.headers.get("X-Instance"),
      (error: unknown) => (error as { code: string }).code,
    );
    expect(outcome).toBe(times === 2 ? "here" : "unreachable");
    expect(received).toHaveLength(times);
  });

  test("a body that can be read only once is sent once", async () => {
    play(await startGone("gone"), await start("here"));
    const body = new Blob(["once"]).stream();
    const init = { method: "POST", body, duplex: "half" } as RequestInit;
    await expect(client.fetch("web", "/", init)).rejects.toMatchObject({
      code: "unreachable",
      message: expect.stringContaining("attempt 1"),
    });
    expect(received).toHaveLength(0);
  });

  test("no more than three instances are tried", async () => {
    const gone = await Promise.all(["1", "2", "3", "4"].map((id) => startGone(`gone-${id}`)));
    play(...gone, await start("here", "answers", 0));
    await expect(client.fetch("web", "/")).rejects.toMatchObject({
      code: "unreachable",
      message: expect.stringContaining("attempt 3"),
    });
  });

  test("a call that is aborted ends with the caller's own reason", async () => {
    play(await start("a"));
    const reason = new Error("enough");
    await expect(client.fetch("web", "/", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(received).toHaveLength(0);
  });
});

describe("a service that cannot be fetched from", () => {
  test("for want of an instance", async () => {
    play();
    await expect(client.fetch("web", "/")).rejects.toMatchObject({ code: "no_instance" });
    await expect(client.pick("web")).rejects.toMatchObject({ code: "no_instance" });
    expect((await client.resolve("web")).instances).toEqual([]);
  });

  test("for its protocol, while its other instances are", async () => {
    play(instance("grpc", { protocol: "grpc" }));
    await expect(client.fetch("web", "/")).rejects.toMatchObject({ code: "unsupported_protocol" });
    const other = createClient({ url: resolver.url, random: () => 0 });
    play(instance("grpc", { protocol: "grpc" }), await start("http"));
    expect((await other.fetch("web", "/")).headers.get("X-Instance")).toBe("http");
  });
});

test("a pick is one instance with the answer's own marks", async () => {
  play(instance("a"), instance("b"));
  const { instance: picked, ...marks } = await client.pick("web");
  expect(picked).toEqual(instance("a"));
  expect(marks).toMatchObject({ service: "web", epoch: 1, revision: 1, source: "memory", stale: false });
  expect(marks).not.toHaveProperty("instances");
});
