import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheDirOf, provideEtcd } from "../../dev/binaries.ts";
import { enableAuth, startEtcd, type Credentials, type EtcdServer } from "../../dev/etcd.ts";
import { findFreePort } from "../../dev/ports.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { sumSamples } from "./prometheus.ts";

/** The least cost bcrypt takes: tests are not about how slow a password is. */
const BCRYPT_COST = 4;

export interface TestEtcd extends BareEtcd {
  readonly root: Credentials;
  /** The registrar's: the least rights for both roles, in every namespace. */
  readonly user: Credentials;
}

export interface BareEtcd {
  readonly endpoint: string;
  readonly port: number;
  readonly pid: number;
  /** SIGKILL unless told otherwise; resolves once it is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Again, on the same port with the same data. */
  start(): Promise<void>;
  /** Its own /metrics, as text. */
  metrics(): Promise<string>;
  /** The sum of a metric's samples that have all these labels; 0 when there is none. */
  counter(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  close(): Promise<void>;
}

/** A real etcd of this test file's own, with authentication on. */
export async function startTestEtcd(options: { readonly extraArgs?: readonly string[] } = {}): Promise<TestEtcd> {
  const bare = await startBareEtcd(options);
  return Object.assign(bare, await enableAuth(bare.endpoint, systemClock));
}

/** The same as etcd is after its installation: without users, and open to everybody. */
export async function startBareEtcd(options: { readonly extraArgs?: readonly string[] } = {}): Promise<BareEtcd> {
  const binary = await provideEtcd({ cacheDir: cacheDirOf(process.env), clock: systemClock, progress: console.error });
  const dir = mkdtempSync(join(tmpdir(), "fingerpost-etcd-"));
  const clientPort = await findFreePort(systemRandom);
  const peerPort = await findFreePort(systemRandom);
  const extraArgs = options.extraArgs ?? [];
  const launch = () =>
    startEtcd({ binary, dir, clientPort, peerPort, clock: systemClock, bcryptCost: BCRYPT_COST, extraArgs });

  let server: EtcdServer = await launch();
  const { endpoint } = server;
  const metrics = async () => {
    const response = await fetch(`${endpoint}/metrics`);
    return response.text();
  };
  return {
    endpoint,
    port: clientPort,
    get pid() {
      return server.child.pid;
    },
    async kill(signal = "SIGKILL") {
      server.child.kill(signal);
      await server.child.exited;
    },
    async start() {
      if (!server.child.running()) server = await launch();
    },
    metrics,
    counter: async (name, labels = {}) => sumSamples(await metrics(), name, labels),
    async close() {
      await server.child.end();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
