import { hostname } from "node:os";
import { Option, type Command } from "commander";
import { systemClock, sleep } from "../../kernel/clock.ts";
import { createBackoff } from "../../kernel/backoff.ts";
import { messageOf } from "../../kernel/errors.ts";
import { systemRandom } from "../../kernel/random.ts";
import { shutdownSignal } from "../../node/shutdown.ts";
import { collect, collectEntry, parseNumber } from "../arguments.ts";
import { call, CallError, type Asked } from "../http.ts";
import { addRegistrarTarget, namespaceOption, namespacePath } from "../target.ts";

/** Also how often it asks whether a checked instance is still held, three times over. */
const HEARTBEAT_TTL_SECONDS = 15;

interface RegisterOptions {
  readonly address: string;
  readonly port: number;
  readonly id?: string;
  readonly protocol?: string;
  readonly url?: string;
  readonly instanceVersion?: string;
  readonly region?: string;
  readonly zone?: string;
  readonly weight?: number;
  readonly tag?: readonly string[];
  readonly meta?: Readonly<Record<string, string>>;
  readonly ttl: number;
  readonly checkHttp?: string;
  readonly checkTcp?: true;
  /** `true` without a service. */
  readonly checkGrpc?: string | true;
  readonly checkPort?: number;
  readonly checkInterval?: number;
  readonly checkTimeout?: number;
  readonly checkRise?: number;
  readonly checkFall?: number;
  readonly checkInitial?: string;
  readonly namespace: string;
  readonly registrar: string;
}

export function addRegister(program: Command): void {
  const command = program
    .command("register")
    .description("Register an instance and keep it alive until this command is stopped; then deregister it.")
    .argument("<service>", "name of the service")
    .requiredOption("--address <host>", "host name or IP address callers connect to")
    .requiredOption("--port <port>", "its port", parseNumber)
    .option("--id <id>", "id of the instance (default: host name and port)")
    .option("--protocol <name>", "http, https, grpc, tcp, ... (default: http)")
    .option("--url <url>", "public URL, where it differs from address and port")
    .option("--instance-version <version>", "version of the instance")
    .option("--region <name>", "region it runs in")
    .option("--zone <name>", "zone it runs in")
    .option("--weight <n>", "share of traffic relative to the others (default: 100)", parseNumber)
    .option("--tag <tag>", "tag; repeats", collect)
    .option("--meta <key=value>", "metadata entry; repeats", collectEntry)
    .option("--ttl <seconds>", "how long it may miss heartbeats", parseNumber, HEARTBEAT_TTL_SECONDS)
    .addOption(
      checkOption("--check-http <path>", "have the registrar check this path instead", "checkTcp", "checkGrpc"),
    )
    .addOption(checkOption("--check-tcp", "have the registrar check that it takes connections", "checkGrpc"))
    .addOption(checkOption("--check-grpc [service]", "have the registrar ask grpc.health.v1 instead"))
    .option("--check-port <port>", "port that is checked (default: its port)", parseNumber)
    .option("--check-interval <seconds>", "from one check to the next (default: 10)", parseNumber)
    .option("--check-timeout <seconds>", "how long a check may take (default: 2)", parseNumber)
    .option("--check-rise <n>", "successes in a row until it is up (default: 2)", parseNumber)
    .option("--check-fall <n>", "failures in a row until it is down (default: 3)", parseNumber)
    .addOption(
      new Option("--check-initial <status>", "what it is until the first check (default: down)").choices([
        "down",
        "up",
      ]),
    )
    .addOption(namespaceOption());
  addRegistrarTarget(command);
  command.action((service: string, options: RegisterOptions) => register(service, options, checkOf(command, options)));
}

async function register(
  service: string,
  options: RegisterOptions,
  check: Record<string, unknown> | undefined,
): Promise<void> {
  const signal = shutdownSignal();
  const id = options.id ?? `${hostname()}-${options.port}`;
  const asked: Asked = { target: "registrar", url: options.registrar };
  const path = `${namespacePath(options.namespace)}/services/${encodeURIComponent(service)}/instances/${encodeURIComponent(id)}`;
  const body = registration(options, check);

  await call(asked, path, { method: "PUT", body });
  console.log(`registered ${service}/${id}; Ctrl-C deregisters it`);

  const intervalMs = (options.ttl * 1000) / 3;
  const backoff = createBackoff({ baseMs: 500, capMs: intervalMs, random: systemRandom });
  let failing = false;
  while (!signal.aborted) {
    await sleep(systemClock, failing ? backoff.next() : intervalMs, signal);
    if (signal.aborted) break;
    try {
      await heartbeat(asked, path, body);
      if (failing) console.error("the registrar answers again");
      failing = false;
      backoff.reset();
    } catch (error) {
      if (error instanceof CallError && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
      if (!failing) console.error(`heartbeat failed, trying again: ${messageOf(error)}`);
      failing = true;
    }
  }
  await call(asked, path, { method: "DELETE" });
  console.log(`deregistered ${service}/${id}`);
}

/** One heartbeat; a registrar that does not know the instance any more is given the registration again. */
async function heartbeat(asked: Asked, path: string, body: unknown): Promise<void> {
  try {
    await call(asked, `${path}/heartbeat`, { method: "POST" });
  } catch (error) {
    if (!(error instanceof CallError) || error.status !== 404) throw error;
    await call(asked, path, { method: "PUT", body });
  }
}

function registration(options: RegisterOptions, check: Record<string, unknown> | undefined): Record<string, unknown> {
  const { address, port, protocol, url, instanceVersion: version, region, zone, weight } = options;
  // JSON leaves out what is undefined, and the registrar fills in its defaults.
  const rest = { protocol, url, version, region, zone, weight };
  return {
    address,
    port,
    ...rest,
    tags: options.tag,
    metadata: options.meta,
    ...(check ? { check } : { ttlSeconds: options.ttl }),
  };
}

/** One kind of check at most, and none beside a TTL. */
function checkOption(flags: string, description: string, ...others: readonly string[]): Option {
  return new Option(flags, description).conflicts(["ttl", ...others]);
}

function checkOf(command: Command, options: RegisterOptions): Record<string, unknown> | undefined {
  const { checkHttp, checkTcp, checkGrpc, checkPort: port, checkInterval: interval, checkTimeout: timeout } = options;
  const { checkRise: rise, checkFall: fall, checkInitial: initial } = options;
  const common = { port, intervalSeconds: interval, timeoutSeconds: timeout, rise, fall, initial };
  if (checkHttp !== undefined) return { type: "http", path: checkHttp, ...common };
  if (checkTcp) return { type: "tcp", ...common };
  if (checkGrpc !== undefined)
    return { type: "grpc", ...(checkGrpc === true ? {} : { service: checkGrpc }), ...common };
  const alone = Object.entries({ port, interval, timeout, rise, fall, initial }).find(
    ([, value]) => value !== undefined,
  );
  if (alone) command.error(`error: --check-${alone[0]} needs --check-http, --check-tcp or --check-grpc`);
  return undefined;
}
