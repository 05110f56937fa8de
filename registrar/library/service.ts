import { isName, NAME_RULE } from "../../contract/names.ts";
import { parseRegistrationRequest, type RegistrationRequest } from "../../contract/registration.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { hostLabel } from "../../node/host-label.ts";

/** What a service says of itself. */
export interface ServiceInstance {
  /** Of the pattern of names. Default: the host's name and the port. */
  readonly id?: string;
  /** The host name or IP address that callers connect to, without scheme, port or zone. */
  readonly address: string;
  readonly port: number;
  /** `http`, `https`, `grpc`, `tcp`, … Default: `http`. */
  readonly protocol?: string;
  /** A public address, where it differs from protocol, address and port. */
  readonly url?: string;
  readonly version?: string;
  readonly region?: string;
  readonly zone?: string;
  /** A share of traffic relative to the other instances, 0 to 65,535. Default 100. */
  readonly weight?: number;
  readonly tags?: readonly string[];
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An instance that is registered, and kept so until `deregister` or the registrar's `close`. */
export interface Registered {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
  /** Takes no new traffic from now on; removed after 30 s. For the time in which the last requests end. */
  drain(): Promise<void>;
  /** Removes it, and says that this is on purpose. */
  deregister(): Promise<void>;
}

/** By which a service registers itself, whoever keeps its lease. */
export interface ServiceRegistrar {
  /**
   * Resolves once etcd has the instance. The same service and id again replace it. Rejects with a FingerpostError:
   * `invalid_argument` with every broken rule, or `unavailable` when etcd, or the registrar, did not take it for
   * `timeoutMs`, with why. What its last try makes all the same is taken back; what it was to replace here may stay,
   * as it was or replaced. At once `unauthenticated` or `permission_denied`, when the credentials, the token or the etcd
   * role are not right.
   */
  register(service: string, instance: ServiceInstance): Promise<Registered>;
  /** Deregisters everything and ends all: afterwards nothing here keeps the process alive. Called again, it waits too. */
  close(): Promise<void>;
}

/** How long `register` goes on trying. Lower: a change of leader in etcd fails a start. Higher: it fails later. */
export const REGISTER_TIMEOUT_MS = 30_000;

/** Throws `invalid_argument` with every broken rule. */
export function parseInstance(
  service: string,
  instance: ServiceInstance,
): { id: string; request: RegistrationRequest } {
  if (!isName(service))
    throw new FingerpostError("invalid_argument", `The name of a service ${NAME_RULE}: "${service}".`);
  const notHere = ["ttlSeconds", "check", "status"].filter((field) => field in instance);
  if (notHere.length > 0) {
    throw new FingerpostError("invalid_argument", "A service that registers itself is up while its process is.", {
      violations: notHere.map((field) => ({ pointer: `/${field}`, detail: "is not a known field" })),
    });
  }
  const request = parseRegistrationRequest(instance);
  return { id: request.id ?? `${hostLabel("host")}-${request.port}`, request };
}
