import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startChild, untilReady, type Child } from "../../dev/child.ts";
import type { Credentials } from "../../dev/etcd.ts";
import { findFreePort } from "../../dev/ports.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import type { PublisherStatus } from "../../registrar/publisher/publisher.ts";
import { PROJECT_DIR } from "./dev.ts";
import { sumSamples } from "./prometheus.ts";

/** The start of a Node process on a machine that runs other tests as well. */
const LISTENS_WITHIN_MS = 30_000;

export interface RegistrarProcessOptions {
  readonly role: "both" | "agent" | "publisher";
  readonly etcdEndpoint: string;
  readonly etcdUser: Credentials;
  /** Left out for an agent. */
  readonly redisUrl?: string;
  /** Further settings. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What tests read of `GET /v1/status`. */
export interface RegistrarStatus {
  readonly ready: boolean;
  readonly agent?: { readonly instances: number; readonly recovering?: number };
  readonly publisher?: PublisherStatus;
}

/** `fingerpost registrar` as a process, with a folder for its state and a port that stay the same over its lives. */
export interface RegistrarProcess {
  readonly url: string;
  readonly pid: number;
  /** SIGKILL unless told otherwise; resolves once it is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  pause(): void;
  resume(): void;
  /** Starts it, again if it was ended, and waits until it listens. */
  start(): Promise<void>;
  isReady(): Promise<boolean>;
  status(): Promise<RegistrarStatus>;
  /** The sum of one of its own metrics' samples. */
  counter(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  put(service: string, id: string, registration: object): Promise<number>;
  delete(service: string, id: string): Promise<number>;
  /** The end of what it has logged, for the messages of tests. */
  log(): string;
  close(): Promise<void>;
}

/** Not started yet. */
export async function createRegistrarProcess(options: RegistrarProcessOptions): Promise<RegistrarProcess> {
  const dir = mkdtempSync(join(tmpdir(), "fingerpost-registrar-"));
  const stateDir = join(dir, "state");
  mkdirSync(stateDir);
  const port = await findFreePort(systemRandom);
  const url = `http://127.0.0.1:${port}`;
  let child: Child | undefined;

  const launch = async () => {
    child = await startChild({
      name: `registrar ${options.role}`,
      command: process.execPath,
      args: [join(PROJECT_DIR, "cli/main.ts"), "registrar"],
      env: {
        FINGERPOST_LISTEN: `127.0.0.1:${port}`,
        FINGERPOST_ROLE: options.role,
        FINGERPOST_ETCD_ENDPOINTS: options.etcdEndpoint,
        FINGERPOST_ETCD_USERNAME: options.etcdUser.username,
        FINGERPOST_ETCD_PASSWORD: options.etcdUser.password,
        FINGERPOST_REDIS_URL: options.redisUrl,
        FINGERPOST_STATE_DIR: stateDir,
        FINGERPOST_LEASE_TTL_SECONDS: "5",
        ...options.env,
      },
      cwd: dir,
      logFile: join(dir, "log"),
      clock: systemClock,
    });
    const probe = async () => ((await listens(url)) ? undefined : "It does not listen yet.");
    await untilReady(child, { budgetMs: LISTENS_WITHIN_MS, clock: systemClock, probe });
  };
  const running = (): Child => {
    if (!child?.running()) throw new Error(`the registrar at ${url} does not run`);
    return child;
  };
  const instance = (service: string, id: string) => `${url}/v1/services/${service}/instances/${id}`;

  return {
    url,
    get pid() {
      return running().pid;
    },
    async kill(signal = "SIGKILL") {
      const ending = running();
      ending.kill(signal);
      await ending.exited;
    },
    pause: () => running().kill("SIGSTOP"),
    resume: () => running().kill("SIGCONT"),
    async start() {
      if (!child?.running()) await launch();
    },
    isReady: async () => (await fetch(`${url}/readyz`)).ok,
    async status() {
      const response = await fetch(`${url}/v1/status`);
      return (await response.json()) as RegistrarStatus;
    },
    async counter(name, labels = {}) {
      const response = await fetch(`${url}/metrics`);
      return sumSamples(await response.text(), name, labels);
    },
    async put(service, id, registration) {
      const headers = { "content-type": "application/json" };
      const body = JSON.stringify(registration);
      return (await fetch(instance(service, id), { method: "PUT", headers, body })).status;
    },
    delete: async (service, id) => (await fetch(instance(service, id), { method: "DELETE" })).status,
    log: () => child?.logTail() ?? "",
    async close() {
      // Whatever it was told before: one that is paused would not end.
      if (child?.running()) child.kill("SIGCONT");
      await child?.end();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function listens(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/healthz`)).ok;
  } catch {
    // Not listening yet; whether it ever will is for the caller's deadline.
    return false;
  }
}
