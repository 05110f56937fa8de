import { Client, credentials, Metadata, status, type ChannelCredentials, type ServiceError } from "@grpc/grpc-js";
import { isIP } from "node:net";
import type { GrpcCheck } from "../../../contract/check.ts";
import { OWN_FAULTS } from "../../net/connect.ts";
import { hostAndPort, hostOf, type Endpoint } from "./endpoint.ts";
import { decodeHealth, encodeHealthRequest, SERVING } from "./grpc-health.ts";
import { failed, passed, type CheckOutcome } from "./outcome.ts";

/** Bytes of an answer, which has one small number in it. */
const MESSAGE_BYTES_MAX = 1024;
/** Of the two kinds of servers that do not say SERVING. */
const NAMES: readonly string[] = ["unknown", "serving", "not serving", "service unknown"];

/**
 * One call of grpc.health.v1.Health/Check (github.com/grpc/grpc, doc/health-checking.md) on a connection of its own.
 * Ends early, as failed, when `signal` aborts.
 */
export function checkGrpc(endpoint: Endpoint, { service }: GrpcCheck, signal: AbortSignal): Promise<CheckOutcome> {
  const { ip, port } = endpoint;
  const client = new Client(isIP(ip) === 6 ? `ipv6:[${ip}]:${port}` : `ipv4:${ip}:${port}`, credentialsOf(endpoint), {
    "grpc.default_authority": hostAndPort(endpoint),
    ...(endpoint.tls ? { "grpc.ssl_target_name_override": hostOf(endpoint) } : {}),
    "grpc.primary_user_agent": "fingerpost-check",
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.enable_retries": 0,
    "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
    // Nothing is shared with other checks, nor with the connection to etcd.
    "grpc.use_local_subchannel_pool": 1,
    // Nor kept for inspection, which nothing here serves.
    "grpc.enable_channelz": 0,
  });
  return new Promise<CheckOutcome>((resolve) => {
    const call = client.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
      encodeHealthRequest,
      decodeHealth,
      service,
      new Metadata(),
      (error, health) => resolve(error ? outcomeOfCall(error) : outcomeOfHealth(health)),
    );
    if (signal.aborted) call.cancel();
    signal.addEventListener("abort", () => call.cancel(), { once: true });
  }).finally(() => client.close());
}

function credentialsOf({ tls }: Endpoint): ChannelCredentials {
  if (!tls) return credentials.createInsecure();
  const ca = tls.ca === undefined ? null : Buffer.from(tls.ca);
  return credentials.createSsl(ca, null, null, { rejectUnauthorized: tls.verify });
}

function outcomeOfHealth(health: number | undefined): CheckOutcome {
  return health === SERVING ? passed : failed(NAMES[health ?? 0] ?? "unknown");
}

function outcomeOfCall({ code, details }: ServiceError): CheckOutcome {
  // The library gives the system's code in its text only.
  const own = code === status.UNAVAILABLE && [...OWN_FAULTS].find((fault) => details.includes(` ${fault} `));
  if (own) return { type: "void", reason: own };
  return failed(`grpc ${status[code] ?? code}`);
}
