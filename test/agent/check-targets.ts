import { Server, ServerCredentials, type status, type sendUnaryData, type ServerUnaryCall } from "@grpc/grpc-js";
import { once } from "node:events";
import {
  createServer as createHttp,
  type IncomingMessage,
  type RequestListener,
  type Server as HttpServer,
} from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo, Server as TcpServer } from "node:net";
import { onTestFinished } from "vitest";

interface Asked {
  readonly service: string;
}

interface Pem {
  readonly cert: string;
  readonly key: string;
}

async function portOf(server: TcpServer): Promise<number> {
  if (!server.listening) {
    server.listen({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
  }
  return (server.address() as AddressInfo).port;
}

/** A real HTTP server of one test, over TLS when given a certificate; `asked` are the requests it has had. */
export async function startHttpTarget(
  answer: RequestListener,
  pem?: Pem,
): Promise<{ readonly port: number; readonly asked: readonly IncomingMessage[]; readonly server: HttpServer }> {
  const asked: IncomingMessage[] = [];
  const listener: RequestListener = (request, response) => {
    asked.push(request);
    answer(request, response);
  };
  const server = pem ? createHttps({ cert: pem.cert, key: pem.key }, listener) : createHttp(listener);
  const port = await portOf(server);
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port, asked, server };
}

/** What a health service answers: a serving status as its number, a status of gRPC, or nothing at all. */
export type HealthAnswer =
  | { readonly serving: number }
  | { readonly code: status; readonly details?: string }
  | { readonly raw: Buffer }
  | "silence";

/** A real gRPC server with grpc.health.v1.Health, which answers what `answer` says for a service. */
export async function startGrpcTarget(
  answer: (service: string, authority: string) => HealthAnswer,
  pem?: Pem,
): Promise<{ readonly port: number }> {
  const server = new Server();
  const check = (call: ServerUnaryCall<Asked, Buffer>, reply: sendUnaryData<Buffer>) => {
    const answered = answer(call.request.service, call.getHost());
    if (answered === "silence") return;
    if ("code" in answered) reply({ code: answered.code, details: answered.details ?? "" });
    else reply(null, "raw" in answered ? answered.raw : Buffer.from([8, answered.serving]));
  };
  const method = {
    path: "/grpc.health.v1.Health/Check",
    requestStream: false,
    responseStream: false,
    // string service = 1, of up to 127 bytes.
    requestDeserialize: (bytes: Buffer) => ({ service: bytes.subarray(2).toString() }),
    requestSerialize: ({ service }: Asked) => Buffer.from(service),
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  };
  server.addService({ Check: method }, { Check: check });
  const credentials = pem
    ? ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(pem.cert), private_key: Buffer.from(pem.key) }])
    : ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  onTestFinished(() => server.forceShutdown());
  return { port };
}
