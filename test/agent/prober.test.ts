import { status } from "@grpc/grpc-js";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import * as v from "valibot";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { checkSchema } from "../../contract/check.ts";
import { systemClock } from "../../kernel/clock.ts";
import { createProber, type ProberOptions } from "../../registrar/agent/checks/prober.ts";
import { makeCertificates, type Certificates } from "../registrar-etcd/certificates.ts";
import { startProxy } from "../support/proxy.ts";
import { startSilentPort } from "../support/silent-port.ts";
import { until } from "../support/until.ts";
import { startGrpcTarget, startHttpTarget } from "./check-targets.ts";

const passed = { type: "passed" };
const failed = (reason: string | RegExp) => ({
  type: "failed",
  reason: typeof reason === "string" ? reason : expect.stringMatching(reason),
});
/** Of what never answers; long enough for a connection of this machine on its busiest day. */
const SHORT = { timeoutSeconds: 0.3 };
const LONG = { timeoutSeconds: 10 };

interface Where {
  readonly port: number;
  readonly address?: string;
  readonly protocol?: string;
}

function probe(where: Where, check: Readonly<Record<string, unknown>>, options: Partial<ProberOptions> = {}) {
  const target = { address: "127.0.0.1", protocol: "http", ...where };
  const prober = createProber({ clock: systemClock, ...options });
  return prober(target, v.parse(checkSchema, { ...LONG, ...check }), new AbortController().signal);
}

let certificates: Certificates;
beforeAll(async () => {
  certificates = await makeCertificates("nobody");
});

describe("an http check", () => {
  const http = { type: "http", path: "/healthz" };

  it.each([
    [200, passed],
    [204, passed],
    [299, passed],
    [301, failed("status 301")],
    [404, failed("status 404")],
    [500, failed("status 500")],
    [503, failed("status 503")],
  ])("of status %i", async (code, outcome) => {
    const { port } = await startHttpTarget((_, response) => void response.writeHead(code).end());
    expect(await probe({ port }, http)).toEqual(outcome);
  });

  it("passes with the statuses it was told to expect, and with no other", async () => {
    const { port } = await startHttpTarget((_, response) => void response.writeHead(401).end());
    expect(await probe({ port }, { ...http, expectStatus: [204, 401] })).toEqual(passed);
    expect(await probe({ port }, { ...http, expectStatus: [200] })).toEqual(failed("status 401"));
  });

  it("asks the instance's own address for its path, by its name, on a connection of its own", async () => {
    const { port, asked, server } = await startHttpTarget((_, response) => void response.end("well"));
    let connections = 0;
    server.on("connection", () => (connections += 1));
    expect(await probe({ port, address: "localhost" }, { ...http, path: "/healthz?full=1" })).toEqual(passed);
    expect(await probe({ port: 1 }, { ...http, port, method: "HEAD" })).toEqual(passed);
    expect(asked.map(({ method, url, headers }) => [method, url, headers.host])).toEqual([
      ["GET", "/healthz?full=1", `localhost:${port}`],
      ["HEAD", "/healthz", `127.0.0.1:${port}`],
    ]);
    expect(connections).toBe(2);
  });

  it("follows no redirect", async () => {
    const elsewhere = await startHttpTarget((_, response) => void response.end());
    const location = `http://127.0.0.1:${elsewhere.port}/`;
    const { port } = await startHttpTarget((_, response) => void response.writeHead(302, { location }).end());
    expect(await probe({ port }, http)).toEqual(failed("status 302"));
    expect(await probe({ port }, { ...http, expectStatus: [302] })).toEqual(passed);
    expect(elsewhere.asked).toHaveLength(0);
  });

  it("asks no proxy of the environment", async () => {
    const proxy = await startHttpTarget((_, response) => void response.end());
    const before = process.env["http_proxy"];
    process.env["http_proxy"] = process.env["HTTP_PROXY"] = `http://127.0.0.1:${proxy.port}`;
    onTestFinished(() => {
      for (const name of ["http_proxy", "HTTP_PROXY"]) {
        if (before === undefined) delete process.env[name];
        else process.env[name] = before;
      }
    });
    const { port } = await startHttpTarget((_, response) => void response.end());
    expect(await probe({ port, address: "localhost" }, http)).toEqual(passed);
    expect(proxy.asked).toHaveLength(0);
  });

  it("fails where nothing listens, where nothing answers, and where something else does", async () => {
    const { port, server } = await startHttpTarget(() => {});
    expect(await probe({ port }, { ...http, ...SHORT })).toEqual(failed("timeout"));
    server.close();
    server.closeAllConnections();
    await once(server, "close");
    expect(await probe({ port }, http)).toEqual(failed("connection refused"));
    const silent = await startSilentPort();
    onTestFinished(() => silent.close());
    expect(await probe({ port: silent.port }, { ...http, ...SHORT })).toEqual(failed("timeout"));
    const other = createServer((socket) => void socket.end("220 mail.example ESMTP\r\n")).listen(0, "127.0.0.1");
    await once(other, "listening");
    onTestFinished(() => void other.close());
    const outcome = await probe({ port: (other.address() as AddressInfo).port }, http);
    expect(outcome).toEqual(failed(/^error HPE_/));
  });

  it("fails when its body does not come in time, and when the connection breaks under it", async () => {
    const slow = await startHttpTarget((_, response) => void response.writeHead(200).write("the first of"));
    expect(await probe({ port: slow.port }, { ...http, ...SHORT })).toEqual(failed("timeout"));
    const torn = await startHttpTarget((_, response) => {
      response.writeHead(200, { "content-length": 10 }).write("1");
      setImmediate(() => response.destroy());
    });
    expect(await probe({ port: torn.port }, http)).toEqual(failed("connection reset"));
  });

  it("reads no more of a body than it must, and closes the connection", async () => {
    let written = 0;
    let closed = false;
    const chunk = Buffer.alloc(16 * 1024);
    const { port } = await startHttpTarget((_, response) => {
      response.on("close", () => (closed = true));
      const write = () => {
        while (!response.destroyed && response.write(chunk)) written += chunk.length;
      };
      response.writeHead(200).on("drain", write);
      write();
    });
    expect(await probe({ port }, http)).toEqual(passed);
    await until("the connection is closed", () => closed);
    // What both kernels hold, and no more: the body has no end.
    expect(written).toBeLessThan(16 * 1024 * 1024);
  });

  it("speaks TLS to an https instance, and passes only with a certificate of its name that it can trust", async () => {
    const { ca, server: pem } = certificates;
    const { port } = await startHttpTarget((_, response) => void response.end(), pem);
    const https = { port, protocol: "https" };
    const here = () => Promise.resolve([{ address: "127.0.0.1" }]);
    expect(await probe({ ...https, address: "localhost" }, http, { ca })).toEqual(passed);
    expect(await probe({ ...https, address: "localhost." }, http, { ca, lookup: here })).toEqual(passed);
    expect(await probe({ ...https, address: "localhost" }, http)).toEqual(failed(/^error (SELF|UNABLE|DEPTH)/));
    expect(await probe(https, http, { ca })).toEqual(failed("error ERR_TLS_CERT_ALTNAME_INVALID"));
    expect(await probe(https, { ...http, tlsVerify: false })).toEqual(passed);
    expect(await probe({ port, address: "localhost" }, { ...http, tls: true }, { ca })).toEqual(passed);
    expect(await probe({ ...https, address: "localhost" }, { ...http, tls: false }, { ca })).toEqual(failed(/./));
  });
});

describe("a tcp check", () => {
  const tcp = { type: "tcp" };

  it("passes where something listens, and fails where nothing does or nothing answers", async () => {
    const { port, server } = await startHttpTarget(() => {});
    expect(await probe({ port }, tcp)).toEqual(passed);
    server.close();
    expect(await probe({ port }, tcp)).toEqual(failed("connection refused"));
    const silent = await startSilentPort();
    onTestFinished(() => silent.close());
    expect(await probe({ port: silent.port }, { ...tcp, ...SHORT })).toEqual(failed(/^(timeout|no answer)$/));
  });
});

describe("a grpc check", () => {
  const grpc = { type: "grpc" };

  it.each([
    [{ serving: 1 }, passed],
    [{ serving: 2 }, failed("not serving")],
    [{ serving: 0 }, failed("unknown")],
    [{ serving: 9 }, failed("unknown")],
    [{ raw: Buffer.alloc(0) }, failed("unknown")],
    [{ code: status.UNIMPLEMENTED }, failed("grpc UNIMPLEMENTED")],
    [{ code: status.NOT_FOUND }, failed("grpc NOT_FOUND")],
    [{ code: status.INTERNAL, details: "password=secret" }, failed("grpc INTERNAL")],
    [{ raw: Buffer.from([255]) }, failed("grpc INTERNAL")],
    [{ raw: Buffer.alloc(2000) }, failed("grpc RESOURCE_EXHAUSTED")],
    // Fields of a later version: a string, a number, 8 and 4 bytes.
    [{ raw: Buffer.from([18, 2, 1, 2, 24, 255, 1, 33, ...Array<number>(8).fill(0), 45, 0, 0, 0, 0, 8, 1]) }, passed],
  ])("answered %j", async (answer, outcome) => {
    const { port } = await startGrpcTarget(() => answer);
    expect(await probe({ port, protocol: "grpc" }, grpc)).toEqual(outcome);
  });

  it("asks for the service it was told, by the instance's name", async () => {
    const asked: string[] = [];
    const { port } = await startGrpcTarget((service, authority) => {
      asked.push(`${service} ${authority}`);
      return { serving: service === "shop.Cart" ? 1 : 2 };
    });
    expect(await probe({ port, address: "localhost" }, { ...grpc, service: "shop.Cart" })).toEqual(passed);
    expect(await probe({ port: 1 }, { ...grpc, port })).toEqual(failed("not serving"));
    expect(asked).toEqual([`shop.Cart localhost:${port}`, ` 127.0.0.1:${port}`]);
  });

  it("fails where nothing listens, where nothing answers, and where something else does", async () => {
    const { port, server } = await startHttpTarget((_, response) => void response.end());
    expect(await probe({ port }, { ...grpc, ...SHORT })).toEqual(failed(/^(grpc|timeout)/));
    server.close();
    server.closeAllConnections();
    expect(await probe({ port }, grpc)).toEqual(failed("grpc UNAVAILABLE"));
    const quiet = await startGrpcTarget(() => "silence");
    expect(await probe({ port: quiet.port }, { ...grpc, ...SHORT })).toEqual(failed("timeout"));
  });

  it("speaks TLS when told to, and passes only with a certificate of its name that it can trust", async () => {
    const { ca, server: pem } = certificates;
    const { port } = await startGrpcTarget(() => ({ serving: 1 }), pem);
    const secure = { ...grpc, tls: true };
    expect(await probe({ port, address: "localhost" }, secure, { ca })).toEqual(passed);
    expect(await probe({ port, address: "localhost", protocol: "grpcs" }, grpc, { ca })).toEqual(passed);
    expect(await probe({ port, address: "localhost" }, secure)).toEqual(failed("grpc UNAVAILABLE"));
    expect(await probe({ port }, secure, { ca })).toEqual(failed("grpc UNAVAILABLE"));
    expect(await probe({ port }, { ...secure, tlsVerify: false })).toEqual(passed);
    expect(await probe({ port, address: "localhost" }, { ...grpc, ...SHORT }, { ca })).toEqual(
      failed(/^(grpc|timeout)/),
    );
  });
});

describe("a name", () => {
  const tcp = { type: "tcp" };

  it("is looked up anew for each check, and what it leads to is what is connected to", async () => {
    const { port, asked } = await startHttpTarget((_, response) => void response.end());
    let lookups = 0;
    // The first answer is allowed; whoever asks again, as a connection by name would, is led elsewhere.
    const lookup = async () => [{ address: (lookups++, lookups === 1 ? "127.0.0.1" : "169.254.169.254") }];
    const prober = createProber({ clock: systemClock, lookup });
    const check = v.parse(checkSchema, { type: "http", ...LONG });
    const target = { address: "rebound.example", port, protocol: "http" };
    const { signal } = new AbortController();
    expect(await prober(target, check, signal)).toEqual(passed);
    expect(lookups).toBe(1);
    expect(asked[0]?.headers.host).toBe(`rebound.example:${port}`);
    expect(await prober(target, check, signal)).toEqual(failed("address not allowed"));
    expect(asked).toHaveLength(1);
  });

  it("that is not answered in time says nothing of the instance, is asked for once by all, and holds nobody longer", async () => {
    let lookups = 0;
    const lookup = () => (lookups++, new Promise<never>(() => {}));
    const prober = createProber({ clock: systemClock, lookup });
    const check = v.parse(checkSchema, { type: "tcp", ...SHORT });
    const target = { address: "slow.example", port: 1, protocol: "http" };
    const signal = new AbortController().signal;
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => prober(target, check, signal)));
    expect(new Set(outcomes.map((outcome) => JSON.stringify(outcome)))).toEqual(
      new Set([JSON.stringify({ type: "void", reason: "its name was not looked up in time" })]),
    );
    expect(lookups).toBe(1);
  });

  it("that nobody knows fails, and one that nobody can be asked for says nothing of the instance", async () => {
    const refusing = (code: string) => () => Promise.reject(Object.assign(new Error("lookup"), { code }));
    const named = { port: 1, address: "web.example" };
    expect(await probe(named, tcp, { lookup: refusing("ENOTFOUND") })).toEqual(failed("name not known"));
    expect(await probe(named, tcp, { lookup: refusing("EAI_AGAIN") })).toEqual({ type: "void", reason: "EAI_AGAIN" });
  });
});

describe("a check that is over", () => {
  it.each([
    ["http, passed", { type: "http", path: "/well" }],
    ["http, failed with a body that has no end", { type: "http", path: "/ill" }],
    ["http, timed out", { type: "http", path: "/silent", ...SHORT }],
    ["tcp", { type: "tcp" }],
  ])("leaves no connection behind: %s", async (_, check) => {
    const { port, server } = await startHttpTarget(({ url }, response) => {
      if (url === "/well") response.end();
      else if (url === "/ill") response.writeHead(500).write("it goes on");
    });
    const open = new Set<Socket>();
    let seen = 0;
    server.on("connection", (socket) => {
      seen += 1;
      open.add(socket);
      socket.on("close", () => open.delete(socket));
    });
    await probe({ port }, check);
    await until("the connection was seen, and is closed", () => seen === 1 && open.size === 0);
  });

  it.each([
    ["grpc, passed", "well", LONG, passed],
    ["grpc, timed out", "silent", SHORT, failed("timeout")],
  ])("leaves no connection behind: %s", async (_, service, timeout, outcome) => {
    const target = await startGrpcTarget((asked) => (asked === "silent" ? "silence" : { serving: 1 }));
    const between = await startProxy(target.port);
    onTestFinished(() => between.close());
    expect(await probe({ port: between.port }, { type: "grpc", service, ...timeout })).toMatchObject(outcome);
    await until("it is closed", () => between.connections() === 0);
  });

  it("is over at once when it is given up while a name is looked up", async () => {
    const giveUp = new AbortController();
    const prober = createProber({ clock: systemClock, lookup: () => new Promise(() => {}) });
    const check = v.parse(checkSchema, { type: "tcp", intervalSeconds: 60, timeoutSeconds: 60 });
    const given = prober({ address: "slow.example", port: 1, protocol: "http" }, check, giveUp.signal);
    giveUp.abort();
    expect(await given).toMatchObject({ type: "failed" });
  });
});

describe("a check whose timeout comes late", () => {
  it("says nothing of the instance: this process stood still, or was too busy to read the answer", async () => {
    const stopped = { ms: 0 };
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + stopped.ms };
    const { port } = await startHttpTarget(() => (stopped.ms = 60_000));
    const outcome = await probe({ port }, { type: "http", ...SHORT }, { clock });
    expect(outcome).toEqual({ type: "void", reason: "this process stood still" });
  });

  it("ends at once when it is given up", async () => {
    const { port, asked, server } = await startHttpTarget(() => {});
    const giveUp = new AbortController();
    const prober = createProber({ clock: systemClock });
    const target = { address: "127.0.0.1", port, protocol: "http" };
    const given = prober(
      target,
      v.parse(checkSchema, { type: "http", intervalSeconds: 60, timeoutSeconds: 60 }),
      giveUp.signal,
    );
    await until("it is asked", () => asked.length === 1);
    giveUp.abort();
    await given;
    const open = await new Promise((resolve) => {
      server.getConnections((_, count) => resolve(count));
    });
    await until("the connection is closed", () => asked[0]?.socket.destroyed);
    expect(open).toBeLessThanOrEqual(1);
  });
});
