import { DEFAULT_NAMESPACE, isName, NAME_RULE } from "../../contract/names.ts";
import { instanceKey, type InstanceRef } from "../../contract/etcd-keys.ts";
import { systemClock } from "../../kernel/clock.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { systemRandom } from "../../kernel/random.ts";
import { hostLabel } from "../../node/host-label.ts";
import { createLogTo, type LogLine } from "../../node/log.ts";
import { createAgent } from "../agent/agent.ts";
import { createEtcd } from "../etcd/etcd.ts";
import { EtcdDenied, EtcdLoginRefused } from "../etcd/port.ts";
import { createLeaseKeeper } from "../etcd/lease-keeper.ts";
import { parseInstance, REGISTER_TIMEOUT_MS, type ServiceRegistrar } from "./service.ts";
import { trying } from "./trying.ts";
import { createWithdrawals } from "./withdrawals.ts";

const LEASE_TTL_SECONDS = { least: 5, most: 3600, default: 30 };

export interface RegistrarOptions {
  readonly etcd: {
    /** `http://host:port` or `https://host:port`; one is used at a time. */
    readonly endpoints: readonly string[];
    /** Both or neither: without them etcd has authentication off, or takes the certificate. */
    readonly username?: string;
    readonly password?: string;
    /** PEM text: who signed etcd's certificate, and a client certificate with its key. */
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
  };
  /** Default: `default`. */
  readonly namespace?: string;
  /**
   * How long etcd keeps the instances of a process that has died. Default 30; sensible: 10 to 60. Lower, and a slow etcd
   * costs leases; higher, and what has died is served for longer.
   */
  readonly leaseTtlSeconds?: number;
  /** How long `register` goes on trying, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
  /** Told what happens: leases lost and taken again, an etcd that does not answer. Default: silent. Holds no secret. */
  readonly onLog?: (line: LogLine) => void;
}

/**
 * An agent inside the service's own process: no HTTP, no heartbeats. The instances are up for as long as the process
 * lives, and put again when their lease was lost. Nothing is sent before the first `register`. While it is open it keeps
 * the process alive, as a server does. Throws `invalid_argument` for options that cannot work.
 */
export function createRegistrar(options: RegistrarOptions): ServiceRegistrar {
  const { namespace = DEFAULT_NAMESPACE, leaseTtlSeconds = LEASE_TTL_SECONDS.default, onLog } = options;
  const { timeoutMs = REGISTER_TIMEOUT_MS } = options;
  checkOptions(options, namespace, leaseTtlSeconds);
  const [clock, random] = [systemClock, systemRandom];
  const log = createLogTo("registrar", onLog);
  const etcd = createEtcd({ ...options.etcd, clock, random, log });
  const leases = createLeaseKeeper({ etcd, clock, random, log });
  const agent = createAgent({
    etcd,
    leases,
    clock,
    random,
    log,
    // Another process of the same host, or the same one started again, is another agent.
    agent: `${hostLabel("agent")}-${Math.floor(random() * 2 ** 48).toString(36)}`,
    leaseTtlSeconds,
    strain: () => leases.strain(),
  });
  const closing = new AbortController();
  const withdrawals = createWithdrawals({ clock, random, log, closing: closing.signal });
  let closed: Promise<void> | undefined;

  async function end(): Promise<void> {
    closing.abort();
    await agent.close({ leave: true });
    await withdrawals.close();
    await leases.close();
    await etcd.close();
  }

  return {
    async register(service, instance) {
      const { id, request } = parseInstance(service, instance);
      const ref: InstanceRef = { namespace, service, instance: id };
      const key = instanceKey(ref);
      const deregister = () => agent.deregister(ref);
      await withdrawals.unlessRegistered(
        key,
        () =>
          trying({ clock, random, timeoutMs, closing: closing.signal }, () =>
            agent.register(ref, request, { type: "none" }).catch(throwRefusal),
          ),
        deregister,
      );
      return {
        namespace,
        service,
        id,
        async drain() {
          withdrawals.ended(key);
          await agent.drain(ref);
        },
        async deregister() {
          withdrawals.ended(key);
          await deregister();
        },
      };
    },
    close: () => (closed ??= end()),
  };
}

/** Where etcd refuses for good another try is of no use: credentials and role are this process' own. */
function throwRefusal(error: unknown): never {
  const cause = error instanceof FingerpostError ? error.cause : undefined;
  if (cause instanceof EtcdLoginRefused) throw new FingerpostError("unauthenticated", `${cause.message}.`, { cause });
  if (cause instanceof EtcdDenied) {
    throw new FingerpostError("permission_denied", `The etcd role does not allow this. ${cause.advice}`, { cause });
  }
  throw error;
}

function checkOptions({ etcd }: RegistrarOptions, namespace: string, leaseTtlSeconds: number): void {
  const { least, most } = LEASE_TTL_SECONDS;
  const wrong: string[] = [];
  if (etcd.endpoints.length === 0) wrong.push("etcd.endpoints must name at least one URL");
  if ((etcd.username === undefined) !== (etcd.password === undefined)) {
    wrong.push("etcd.username and etcd.password: give both or neither");
  }
  if ((etcd.cert === undefined) !== (etcd.key === undefined))
    wrong.push("etcd.cert and etcd.key: give both or neither");
  if (!isName(namespace)) wrong.push(`namespace ${NAME_RULE} (it is "${namespace}")`);
  if (!Number.isInteger(leaseTtlSeconds) || leaseTtlSeconds < least || leaseTtlSeconds > most) {
    wrong.push(`leaseTtlSeconds must be a whole number of ${least} to ${most} (it is ${leaseTtlSeconds})`);
  }
  if (wrong.length > 0)
    throw new FingerpostError("invalid_argument", `The options are not valid: ${wrong.join("; ")}.`);
}
