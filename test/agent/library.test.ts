import { createServer } from "node:http";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { Etcd } from "../../registrar/etcd/port.ts";
import {
  connectRegistrar,
  createRegistrar,
  type ConnectOptions,
  type LogLine,
  type RegistrarOptions,
} from "../../registrar/index.ts";
import { startTestEtcd, type TestEtcd } from "../support/etcd.ts";
import { startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";
import { connect, entriesBelow, send, startRegistrar } from "./registrar.ts";

const TOKEN = "a-token-of-this-test";

let etcd: TestEtcd;
let root: Etcd;
beforeAll(async () => {
  etcd = await startTestEtcd();
  root = connect(etcd, "root");
});
afterAll(async () => {
  await root.close();
  await etcd.close();
});

const stored = async (service: string, namespace = "default") =>
  (await entriesBelow(root, `/fingerpost/${namespace}/${service}/`)).map(({ value, lease, key }) => ({
    key,
    lease,
    ...(JSON.parse(value) as { status: string; port: number }),
  }));

describe("a registrar inside the service's process", () => {
  function create(options: Partial<RegistrarOptions> = {}) {
    const registrar = createRegistrar({ etcd: { endpoints: [etcd.endpoint], ...etcd.user }, ...options });
    onTestFinished(() => registrar.close());
    return registrar;
  }

  it("has its instances in etcd when register resolves, and leaves nothing behind when it is closed", async () => {
    const before = await entriesBelow(root, "/fingerpost/_agents/");
    const registrar = create();
    const { id } = await registrar.register("web", { address: "10.0.0.1", port: 8080, tags: ["blue"] });
    await registrar.register("web", { id: "second", address: "10.0.0.1", port: 8081 });
    expect(id).toMatch(/-8080$/);
    expect((await stored("web")).map(({ status }) => status)).toEqual(["up", "up"]);
    const { revision } = await root.get("/");
    await registrar.close();
    expect(await stored("web")).toEqual([]);
    expect(await entriesBelow(root, "/fingerpost/_agents/")).toEqual(before);
    // The instances first and the sentinel after them, which is what makes a departure a planned one.
    expect((await root.get("/")).revision).toBe(revision + 2);
    await expect(registrar.register("web", { address: "10.0.0.1", port: 1 })).rejects.toMatchObject({
      code: "unavailable",
    });
  });

  it("registers again what lost its lease", async () => {
    const registrar = create({ leaseTtlSeconds: 5 });
    await registrar.register("lost", { address: "10.0.0.1", port: 8080 });
    const [first] = await stored("lost");
    await root.revokeLease(first?.lease ?? "");
    await until("it is there under another lease", async () => {
      const [again] = await stored("lost");
      return again && again.lease !== first?.lease;
    });
  });

  it("leaves alone what another process has taken by then", async () => {
    const [first, second] = [create(), create()];
    const registered = await first.register("taken", { id: "a", address: "10.0.0.1", port: 1 });
    await second.register("taken", { id: "a", address: "10.0.0.1", port: 2 });
    await registered.deregister();
    await first.close();
    expect(await stored("taken")).toMatchObject([{ port: 2 }]);
  });

  it("goes on trying while etcd is away", async () => {
    const proxy = await startProxy(etcd.port);
    onTestFinished(() => proxy.close());
    await proxy.refuse(true);
    const said: LogLine[] = [];
    const registrar = create({
      etcd: { endpoints: [`http://127.0.0.1:${proxy.port}`], ...etcd.user },
      onLog: (line) => said.push(line),
    });
    const registering = registrar.register("late", { address: "10.0.0.1", port: 8080 });
    await until("it has noticed", () => said.some(({ level }) => level === "warn"));
    expect(await stored("late")).toEqual([]);
    await proxy.refuse(false);
    await registering;
    expect(await stored("late")).toHaveLength(1);
  });

  it("gives up in time, and says why", async () => {
    const gone = create({ etcd: { endpoints: ["http://127.0.0.1:1"], ...etcd.user }, timeoutMs: 500 });
    await expect(gone.register("never", { address: "10.0.0.1", port: 8080 })).rejects.toMatchObject({
      code: "unavailable",
      message: "etcd cannot be reached.",
    });
  });

  it("gives up at once where its credentials are refused, names the user, and shows no password", async () => {
    const said: LogLine[] = [];
    const password = "certainly-not-the-password";
    const registrar = create({
      etcd: { endpoints: [etcd.endpoint], username: etcd.user.username, password },
      timeoutMs: 3_600_000,
      onLog: (line) => said.push(line),
    });
    const refused = `etcd refuses user "${etcd.user.username}" or its password`;
    await expect(registrar.register("never", { address: "10.0.0.1", port: 8080 })).rejects.toMatchObject({
      code: "unauthenticated",
      message: expect.stringContaining(refused) as string,
    });
    expect(said.map(({ message }) => message).join()).toContain(refused);
    expect(JSON.stringify(said)).toContain("Authenticating to etcd failed");
    expect(JSON.stringify(said)).not.toContain(password);
  });

  it("takes back what etcd carries out after it has given up, and not what it had registered before", async () => {
    const proxy = await startProxy(etcd.port);
    onTestFinished(() => proxy.close());
    const registrar = create({
      etcd: { endpoints: [`http://127.0.0.1:${proxy.port}`], ...etcd.user },
      timeoutMs: 500,
    });
    const [before, after] = [1, 2].map((port) => ({ id: "a", address: "10.0.0.1", port }));
    await registrar.register("slow-kept", before!);
    // Changed by somebody else, each takes two calls, which together take longer than an answer may.
    for (const service of ["slow-kept", "slow-new"]) {
      await root.transact([], [{ type: "put", key: `/fingerpost/default/${service}/a`, value: "{}" }]);
    }
    proxy.latencyMs(4100);
    const given = await Promise.allSettled(
      ["slow-kept", "slow-new"].map((service) => registrar.register(service, after!)),
    );
    expect(given).toMatchObject([{ reason: { code: "unavailable" } }, { reason: { code: "unavailable" } }]);
    expect((await stored("slow-kept")).map(({ port }) => port)).toEqual([undefined]);
    proxy.latencyMs(0);
    // It was somebody else's: only who has written it deletes it.
    await until("it came, and was taken back", async () => (await stored("slow-new")).length === 0);
    await until("the other came", async () => (await stored("slow-kept"))[0]?.port === 2);
    const kept = await root.get("/fingerpost/default/slow-kept/a");
    // In its turn, and so after whatever was on its way.
    await registrar.register("slow-kept", after!);
    expect((await root.get("/fingerpost/default/slow-kept/a")).entry).toEqual(kept.entry);
    await registrar.register("slow-new", after!);
    expect(await stored("slow-new")).toMatchObject([{ port: 2 }]);
  }, 20_000);

  it("removes a drained instance at deregister, and shows it as draining until then", async () => {
    const registrar = create({ namespace: "library" });
    const registered = await registrar.register("drained", { address: "10.0.0.1", port: 8080 });
    expect(await stored("drained", "library")).toMatchObject([{ status: "up" }]);
    await registered.drain();
    expect(await stored("drained", "library")).toMatchObject([{ status: "draining" }]);
    await registered.deregister();
    expect(await stored("drained", "library")).toEqual([]);
  });

  it("names every option and every field that is wrong, before it asks etcd anything", async () => {
    const wrong = { etcd: { endpoints: [], username: "u" }, namespace: "_agents", leaseTtlSeconds: 1 };
    expect(() => createRegistrar(wrong)).toThrow(/endpoints.*username.*namespace.*leaseTtlSeconds/);
    const registrar = create();
    await expect(registrar.register("a/b", { address: "10.0.0.1", port: 1 })).rejects.toMatchObject({
      code: "invalid_argument",
    });
    await expect(registrar.register("web", { address: "http://a", port: 0 })).rejects.toMatchObject({
      violations: [{ pointer: "/address" }, { pointer: "/port" }],
    });
    const heartbeats = { address: "10.0.0.1", port: 1, ttlSeconds: 5 };
    await expect(registrar.register("web", heartbeats)).rejects.toMatchObject({
      violations: [{ pointer: "/ttlSeconds" }],
    });
  });
});

describe("a registrar on this host, asked over HTTP", () => {
  const serve = (port = 0) => startRegistrar(etcd, { listen: { host: "127.0.0.1", port }, token: TOKEN, leave: true });

  function ask(url: string, options: Partial<ConnectOptions> = {}) {
    const registrar = connectRegistrar({ url, token: TOKEN, ttlSeconds: 1, ...options });
    onTestFinished(() => registrar.close());
    return registrar;
  }

  it("keeps what is registered up by heartbeats, and is told of the end", async () => {
    const local = await serve();
    onTestFinished(() => local.close());
    const registrar = ask(local.url);
    await registrar.register("http-web", { id: "a", address: "10.0.0.1", port: 8080 });
    const [first] = await stored("http-web");
    const beaten = async () => {
      const { body } = await send(local.url, { path: "/metrics", headers: { authorization: `Bearer ${TOKEN}` } });
      return body.text;
    };
    expect(await beaten()).toContain("fingerpost_registrations 1");
    const startedMs = performance.now();
    await until("it has outlived its TTL", async () => {
      expect(await stored("http-web")).toEqual([first]);
      return performance.now() - startedMs > 2000;
    });
    await registrar.close();
    expect(await stored("http-web")).toEqual([]);
  });

  it("is given the registration again after it was started anew", async () => {
    let local = await serve();
    onTestFinished(() => local.close());
    const registrar = ask(local.url, { ttlSeconds: 3 });
    await registrar.register("http-again", { id: "a", address: "10.0.0.1", port: 8080 });
    await local.close();
    expect(await stored("http-again")).toEqual([]);
    local = await serve(Number(new URL(local.url).port));
    await until("it is registered again", async () => (await stored("http-again")).length === 1);
  });

  it("does not get back by a heartbeat what is drained and gone", async () => {
    const local = await serve();
    onTestFinished(() => local.close());
    const registered = await ask(local.url).register("http-drained", { id: "a", address: "10.0.0.1", port: 8080 });
    await registered.drain();
    expect(await stored("http-drained")).toMatchObject([{ status: "draining" }]);
    await send(local.url, {
      method: "DELETE",
      path: "/v1/services/http-drained/instances/a",
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    const startedMs = performance.now();
    await until("heartbeats would have come", async () => {
      expect(await stored("http-drained")).toEqual([]);
      return performance.now() - startedMs > 1000;
    });
  });

  it("is told apart from what refuses, from what is no registrar, and from nothing at all", async () => {
    const local = await serve();
    onTestFinished(() => local.close());
    const other = createServer((_, response) => response.writeHead(302, { location: local.url }).end());
    await new Promise<void>((resolve) => {
      other.listen(0, "127.0.0.1", resolve);
    });
    onTestFinished(() => void other.close());
    const { port } = other.address() as { port: number };
    const web = { id: "a", address: "10.0.0.1", port: 8080 };
    const stranger = ask(local.url, { token: "not-the-token-of-this-test" });
    await expect(stranger.register("web", web)).rejects.toMatchObject({ code: "unauthenticated" });
    await expect(ask(`http://127.0.0.1:${port}`, { timeoutMs: 100 }).register("web", web)).rejects.toThrow(
      /no registrar/,
    );
    const gone = await startProxy(port);
    await gone.refuse(true);
    onTestFinished(() => gone.close());
    const url = `http://127.0.0.1:${gone.port}`;
    await expect(ask(url, { timeoutMs: 100 }).register("web", web)).rejects.toMatchObject({
      code: "unavailable",
      message: `The registrar at ${url} could not be reached: ECONNREFUSED.`,
    });
    expect(() => connectRegistrar({ url: "http://:a-secret@127.0.0.1" })).toThrow(/without user name/);
    expect(() => connectRegistrar({ url: "http://example.com", token: TOKEN })).toThrow(/https:/);
    expect(() => connectRegistrar({ url: "ftp://a", namespace: "_", ttlSeconds: 0 })).toThrow(
      /url.*namespace.*ttlSeconds/,
    );
  });
});
