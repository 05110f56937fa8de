import { Etcd3, type IOptions } from "etcd3";
import { noop } from "cockatiel";
import { FingerpostError } from "../../kernel/errors.ts";

/** Pings on a connection in use: a black-holed one is noticed after both times. Etcd refuses pings under 5 s apart. */
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 5000;
/** Between tries to connect. Small, because calls fail at once meanwhile and their callers back off on their own. */
const RECONNECT_MS = 100;
const RECONNECT_MS_MAX = 2000;
/** Of one answer: a page of PAGE_ENTRIES_MAX registrations is some 5 MB. gRPC's default, 4 MiB, drops such a page. */
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
const PORT_DEFAULT = "2379";

/** PEM, for `https` endpoints. */
export interface TlsOptions {
  /** Who signs the servers' certificates; the system's authorities when absent. */
  readonly ca?: Buffer | string;
  /** A client certificate and its key, which etcd takes instead of a password with `--client-cert-auth`. */
  readonly cert?: Buffer | string;
  readonly key?: Buffer | string;
}

/** etcd3, used for its channel and its messages only. Nothing is sent before the first call. */
export type Transport = Etcd3;

/** Throws `invalid_argument` as `parseEndpoint` does. */
export function connect(endpoint: string, tls: TlsOptions): Transport {
  const url = parseEndpoint(endpoint);
  const options: IOptions = {
    hosts: `${url.protocol}//${url.hostname}:${url.port || PORT_DEFAULT}`,
    // Every retry, and every decision about a member, is made on this side of the port.
    faultHandling: { host: () => noop, global: noop },
    grpcOptions: {
      "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
      "grpc.keepalive_time_ms": KEEPALIVE_MS,
      "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
      "grpc.initial_reconnect_backoff_ms": RECONNECT_MS,
      "grpc.max_reconnect_backoff_ms": RECONNECT_MS_MAX,
      "grpc.enable_retries": 0,
      // An HTTP proxy from the environment is for the way out, and etcd is inside.
      "grpc.enable_http_proxy": 0,
      "grpc.service_config_disable_resolution": 1,
    },
  };
  if (url.protocol === "https:" && (tls.ca !== undefined || tls.cert !== undefined)) {
    options.credentials = credentialsOf(tls);
  }
  return new Etcd3(options);
}

/** Throws `invalid_argument` when `endpoint` is not `http://host:port`, `https://host:port` or `host:port`. */
export function parseEndpoint(endpoint: string): URL {
  const text = /^https?:\/\//.test(endpoint) ? endpoint : `http://${endpoint}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || url.username !== "" || url.pathname !== "/" || url.search !== "") {
    throw new FingerpostError(
      "invalid_argument",
      "An etcd endpoint must be http://host:port or https://host:port, without a path or a user name.",
    );
  }
  return url;
}

function credentialsOf({ ca, cert, key }: TlsOptions): NonNullable<IOptions["credentials"]> {
  const buffer = (pem: Buffer | string) => Buffer.from(pem);
  return {
    // gRPC takes "none" for the system's authorities, which etcd3's types leave out.
    rootCertificate: (ca === undefined ? undefined : buffer(ca)) as Buffer,
    ...(key === undefined ? {} : { privateKey: buffer(key) }),
    ...(cert === undefined ? {} : { certChain: buffer(cert) }),
  };
}
