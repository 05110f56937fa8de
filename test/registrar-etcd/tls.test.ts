import { connect as dial } from "node:net";
import { createServer, type Server } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { EtcdOptions } from "../../registrar/etcd/etcd.ts";
import { startTestEtcd } from "../support/etcd.ts";
import { makeCertificates, type Certificates } from "./certificates.ts";
import { connect } from "./fixture.ts";

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
