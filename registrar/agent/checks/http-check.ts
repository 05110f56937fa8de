import { request as requestHttp, type IncomingMessage } from "node:http";
import { request as requestHttps, type RequestOptions } from "node:https";
import { isIP } from "node:net";
import type { HttpCheck } from "../../../contract/check.ts";
import { hostAndPort, hostOf, type Endpoint } from "./endpoint.ts";
import { failed, outcomeOfError, passed, type CheckOutcome } from "./outcome.ts";

/** Bytes of a body that are read, and thrown away, before the rest is cut off. */
const BODY_BYTES_MAX = 64 * 1024;

/**
 * One request on a connection of its own; no redirect is followed, and no proxy asked. It passes when a status that is
 * expected has come with its body, or with as much of it as is read. What is left of the connection, and of the check if it
 * is not over, ends when `signal` aborts.
 */
export function checkHttp(endpoint: Endpoint, check: HttpCheck, signal: AbortSignal): Promise<CheckOutcome> {
  const { ip, port, tls } = endpoint;
  const host = hostOf(endpoint);
  const options: RequestOptions = {
    host: ip,
    port,
    path: check.path,
    method: check.method,
    // An agent of its own for this request: without connections kept from others, and without a proxy.
    agent: false,
    signal,
    headers: { Host: hostAndPort(endpoint), "User-Agent": "fingerpost-check", Accept: "*/*", Connection: "close" },
  };
  if (tls) {
    // Without a server name the certificate must be valid for the IP address.
    options.servername = isIP(host) === 0 ? host : "";
    options.rejectUnauthorized = tls.verify;
    if (tls.ca !== undefined) options.ca = tls.ca;
  }
  return new Promise((resolve) => {
    const request = (tls ? requestHttps : requestHttp)(options, (response) => {
      const { statusCode = 0 } = response;
      if (isExpected(statusCode, check)) {
        discard(response).then(resolve, (error: unknown) => resolve(outcomeOfError(error)));
      } else {
        resolve(failed(`status ${statusCode}`));
      }
    });
    // Also after the end: cutting off a body is an error too.
    request.on("error", (error) => resolve(outcomeOfError(error)));
    request.end();
  });
}

function isExpected(status: number, { expectStatus }: HttpCheck): boolean {
  return expectStatus ? expectStatus.includes(status) : status >= 200 && status < 300;
}

async function discard(response: IncomingMessage): Promise<CheckOutcome> {
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).byteLength;
    if (bytes > BODY_BYTES_MAX) break;
  }
  return passed;
}
