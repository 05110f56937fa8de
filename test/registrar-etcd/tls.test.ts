import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as dial } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type Server } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findFreePort } from "../../dev/ports.ts";
import { createLeaseKeeper } from "../../registrar/etcd/lease-keeper.ts";
import { createEtcd, type EtcdOptions } from "../../registrar/etcd/etcd.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { until } from "../support/until.ts";
import { makeCertificates, type Certificates } from "./certificates.ts";
import { connect, parts, put } from "./fixture.ts";

let etcd: Awaited<ReturnType<typeof startTestEtcd>>;
let certificates: Certificates;
let server: Server;
let endpoint: string;

beforeAll(async () => {
  etcd = await startTestEtcd();
  certificates = await makeCertificates(etcd.user.username);
  const port = Number(new URL(etcd.endpoint).port);
  // Asks for a client certificate, as an etcd with --client-cert-auth does.
  server = createServer(
    {
      ...certificates.server,
      ca: certificates.ca,
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ["h2"],
    },
    (client) => {
      const target = dial({ host: "127.0.0.1", port });
      client.pipe(target).pipe(client);
      for (const [socket, other] of [[client, target] as const, [target, client] as const]) {
        socket.on("error", () => other.destroy());
        socket.on("close", () => other.destroy());
      }
    },
  );
  await new Promise<void>((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, resolve);
  });
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the server has no port");
  endpoint = `https://localhost:${address.port}`;
});
afterAll(async () => {
  server?.close();
  await etcd?.close();
});

async function revisionWith(options: Partial<EtcdOptions>): Promise<number> {
  const client = connect(endpoint, etcd.user, options);
  try {
    return (await client.get("/fingerpost/")).revision;
  } finally {
    await client.close();
  }
}

test("an https endpoint is trusted by the given authority only, and is shown the client certificate", async () => {
  const trusted = { ca: certificates.ca, ...certificates.client };
  expect(await revisionWith(trusted)).toBeGreaterThan(0);
  // PEM as bytes is as good.
  expect(
    await revisionWith({ ...trusted, ca: Buffer.from(trusted.ca), key: Buffer.from(trusted.key) }),
  ).toBeGreaterThan(0);
  const { ca, ...withoutAuthority } = trusted;
  await expect(revisionWith(withoutAuthority)).rejects.toMatchObject({ code: "unavailable" });
  await expect(revisionWith({ ca })).rejects.toMatchObject({ code: "unavailable" });
});

test("an etcd that knows its users by certificate is never asked for a token, and holds us to our role", async () => {
  const dir = mkdtempSync(join(tmpdir(), "fingerpost-certificates-"));
  const file = (name: string, pem: string) => {
    writeFileSync(join(dir, name), pem, { mode: 0o600 });
    return join(dir, name);
  };
  const port = await findFreePort(parts.random);
  const byCertificate = await startTestEtcd({
    // The plain one as well: the test sets etcd up and reads its metrics there.
    extraArgs: (plain) => [
      `--listen-client-urls=${plain},https://127.0.0.1:${port}`,

      "--client-cert-auth",
      `--trusted-ca-file=${file("ca.pem", certificates.ca)}`,
      `--cert-file=${file("cert.pem", certificates.server.cert)}`,
      `--key-file=${file("key.pem", certificates.server.key)}`,
    ],
  });
  let renewals = 0;
  const { ca, client } = certificates;
  const connection = createEtcd({ endpoints: [`https://localhost:${port}`], ca, ...client, ...parts });
  const keeper = createLeaseKeeper({ etcd: connection, ...parts, onRenewal: () => renewals++ });
  try {
    const authenticate = ["grpc_server_started_total", { grpc_method: "Authenticate" }] as const;
    const before = await byCertificate.counter(...authenticate);
    const { lease, ttlSeconds } = await connection.grantLease(2);
    const key = "/fingerpost/default/certificates/1";
    await connection.transact([], [{ type: "put", key, value: "here", lease }]);
    keeper.add(lease, ttlSeconds, () => {});
    await until("the lease is renewed", () => renewals >= 4);
    expect((await connection.get(key)).entry?.value).toBe("here");
    await expect(connection.transact([], [put("/elsewhere")])).rejects.toMatchObject({ code: "permission_denied" });
    expect(await byCertificate.counter(...authenticate)).toBe(before);
  } finally {
    await keeper.close();
    await connection.close();
    await byCertificate.close();
    rmSync(dir, { recursive: true });
  }
});
