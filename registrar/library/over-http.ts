import { DEFAULT_NAMESPACE, isName, NAME_RULE } from "../../contract/names.ts";
import { TTL_SECONDS_MAX, TTL_SECONDS_MIN } from "../../contract/registration.ts";
import { sleep, systemClock } from "../../kernel/clock.ts";
import { FingerpostError, messageOf } from "../../kernel/errors.ts";
import { systemRandom } from "../../kernel/random.ts";
import { isLoopback } from "../../node/listen.ts";
import { createLogTo, type LogLine } from "../../node/log.ts";
import { createRegistrarCalls } from "./calls.ts";
import { parseInstance, REGISTER_TIMEOUT_MS, type ServiceRegistrar } from "./service.ts";
import { trying } from "./trying.ts";

const TTL_SECONDS_DEFAULT = 15;

export interface ConnectOptions {
  /** Of a registrar, usually the one on this host. Default: http://127.0.0.1:7070. */
  readonly url?: string;
  /** Its FINGERPOST_TOKEN. Sent over https, or to loopback. */
  readonly token?: string;
  /** Default: `default`. */
  readonly namespace?: string;
  /**
   * How long an instance may fall silent before it is down. Default 15; a heartbeat is sent every third of it. Lower, and
   * a slow moment takes it out; higher, and a process that has died is served for longer.
   */
  readonly ttlSeconds?: number;
  /** How long `register` goes on trying, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
  /** Told of heartbeats that fail and of registrations made again. Default: silent. Holds no secret. */
  readonly onLog?: (line: LogLine) => void;
}

/**
 * The same through a registrar's HTTP, with heartbeats: one agent for a whole host, and so one lease and one token in
 * etcd for all of its services. A registrar that was started again is given the registration again. Throws
 * `invalid_argument` for options that cannot work.
 */
export function connectRegistrar(options: ConnectOptions = {}): ServiceRegistrar {
  const { url = "http://127.0.0.1:7070", namespace = DEFAULT_NAMESPACE, ttlSeconds = TTL_SECONDS_DEFAULT } = options;
  const { token, timeoutMs = REGISTER_TIMEOUT_MS } = options;
  checkOptions(url, token, namespace, ttlSeconds);
  const [clock, random] = [systemClock, systemRandom];
  const log = createLogTo("registrar", options.onLog);
  const call = createRegistrarCalls({ url, token, fetch: globalThis.fetch });
  const closing = new AbortController();
  const kept = new Map<string, Kept>();
  let closed: Promise<void> | undefined;

  interface Kept {
    readonly stop: AbortController;
    readonly beating: Promise<void>;
  }

  /** Until it is stopped. Whatever goes wrong is tried again: the registrar may be back before the TTL has passed. */
  async function beat(path: string, body: unknown, stop: AbortSignal): Promise<void> {
    let failing = false;
    while (!stop.aborted) {
      // A little early at times, so that the instances of a host do not beat together.
      await sleep(clock, (ttlSeconds * 1000 * (0.9 + random() * 0.1)) / 3, stop);
      if (stop.aborted) return;
      try {
        await beatOnce(path, body);
        if (failing) log.info({ path }, "the registrar answers again");
        failing = false;
      } catch (error) {
        if (!failing) log.warn({ path, error: messageOf(error) }, "heartbeat failed, trying again");
        failing = true;
      }
    }
  }

  async function beatOnce(path: string, body: unknown): Promise<void> {
    try {
      await call("POST", `${path}/heartbeat`);
    } catch (error) {
      if (!(error instanceof FingerpostError) || error.code !== "not_found") throw error;
      await call("PUT", path, body);
      log.info({ path }, "registered again");
    }
  }

  /** Ends the heartbeats first: a late one would register it again. */
  async function stopBeating(path: string): Promise<void> {
    const held = kept.get(path);
    held?.stop.abort();
    await held?.beating;
    if (kept.get(path) === held) kept.delete(path);
  }

  async function leave(path: string): Promise<void> {
    await stopBeating(path);
    try {
      await call("DELETE", path);
    } catch (error) {
      log.warn({ path, error: messageOf(error) }, "instance left to its TTL");
    }
  }

  return {
    async register(service, instance) {
      const { id } = parseInstance(service, instance);
      const path = `/v1/namespaces/${namespace}/services/${service}/instances/${id}`;
      const body = { ...instance, id, ttlSeconds };
      const attempts = { clock, random, timeoutMs, closing: closing.signal };
      await trying(attempts, () => call("PUT", path, body));
      // Of the one it replaces.
      await stopBeating(path);
      const stop = new AbortController();
      kept.set(path, { stop, beating: beat(path, body, stop.signal) });
      // It was closed meanwhile, and knew nothing of this one.
      if (closing.signal.aborted) await leave(path);
      return {
        namespace,
        service,
        id,
        async drain() {
          // Once it is gone a heartbeat would register it again.
          stop.abort();
          await call("POST", `${path}/drain`);
        },
        async deregister() {
          await stopBeating(path);
          await call("DELETE", path);
        },
      };
    },
    close: () => (closed ??= end()),
  };

  async function end(): Promise<void> {
    closing.abort();
    await Promise.all([...kept.keys()].map(leave));
  }
}

function checkOptions(url: string, token: string | undefined, namespace: string, ttlSeconds: number): void {
  const wrong: string[] = [];
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (
    !parsed ||
    !/^https?:$/.test(parsed.protocol) ||
    parsed.username + parsed.password !== "" ||
    parsed.search !== ""
  ) {
    wrong.push("url must be http:// or https://, without user name, password and query");
  } else if (
    token !== undefined &&
    parsed.protocol === "http:" &&
    !isLoopback(parsed.hostname.replace(/^\[|\]$/g, ""))
  ) {
    wrong.push("url must be https:// where a token is sent to another host");
  }
  if (!isName(namespace)) wrong.push(`namespace ${NAME_RULE} (it is "${namespace}")`);
  if (!(ttlSeconds >= TTL_SECONDS_MIN && ttlSeconds <= TTL_SECONDS_MAX)) {
    wrong.push(`ttlSeconds must be ${TTL_SECONDS_MIN} to ${TTL_SECONDS_MAX} (it is ${ttlSeconds})`);
  }
  if (wrong.length > 0)
    throw new FingerpostError("invalid_argument", `The options are not valid: ${wrong.join("; ")}.`);
}
