import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import type { GatewayConfig } from "../../gateway/config.ts";
import { runGateway, type Gateway } from "../../gateway/run.ts";
import { createLog } from "../../node/log.ts";
import { until } from "../support/until.ts";

export const TOKEN = "writer-token";
export const READ_ONLY_TOKEN = "reader-token";

/** A gateway on a free port, ready unless told not to wait for it. */
export async function startGateway(
  config: Partial<GatewayConfig> & Pick<GatewayConfig, "redisUrl">,
  { waitUntilReady = true } = {},
): Promise<Gateway> {
  const gateway = await runGateway(
    { listen: { host: "127.0.0.1", port: 0 }, token: TOKEN, readOnlyToken: READ_ONLY_TOKEN, ...config },
    {
      log: createLog("gateway", "silent"),
      clock: systemClock,
      random: systemRandom,
      signal: new AbortController().signal,
    },
  );
  if (waitUntilReady) await until("the gateway is ready", () => isReady(gateway));
  return gateway;
}

export async function isReady({ url }: Gateway): Promise<boolean> {
  return (await fetch(`${url}/readyz`)).ok;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** A request as any HTTP client would make it. `body` goes out as JSON unless it is already text or bytes. */
export async function ask(
  { url }: Gateway,
  path: string,
  body?: unknown,
  { token = TOKEN, headers = {} }: { token?: string | undefined; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await fetch(url + path, {
    method: body === undefined ? "GET" : "POST",
    headers: { Authorization: `Bearer ${token}`, ...headers },
    ...(body === undefined ? {} : { body: isRaw(body) ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

function isRaw(body: unknown): body is string | Uint8Array<ArrayBuffer> {
  return typeof body === "string" || body instanceof Uint8Array;
}
