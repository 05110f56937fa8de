import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import semver from "semver";
import { cacheDirOf, provideEtcd } from "../../dev/binaries.ts";
import { enableAuth, startEtcd, type Credentials, type EtcdServer } from "../../dev/etcd.ts";
import { findFreePort } from "../../dev/ports.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { provideEtcdctl } from "./etcdctl.ts";
import { sumSamples } from "./prometheus.ts";

const execute = promisify(execFile);

/** The least cost bcrypt takes: tests are not about how slow a password is. */
const BCRYPT_COST = 4;

/** CVE-2026-33413 was mended in these. */
const RENEWALS_CHECKED = "3.4.42 - 3.4 || 3.5.28 - 3.5 || >=3.6.9";

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
  /** A backup of it as it is now, by etcdctl and as this user. */
  backUp(as: Credentials): Promise<EtcdBackup>;
  /** Whether it looks at the token, and at the right to each key, whenever a lease is renewed: newer ones do. */
  checksRenewals(): Promise<boolean>;
  /** Its own /metrics, as text. */
  metrics(): Promise<string>;
  /** The sum of a metric's samples that have all these labels; 0 when there is none. */
  counter(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  close(): Promise<void>;
}

export interface TestEtcdOptions {
  /** Of two that set the same the last one counts. A function is given the endpoint. */
  readonly extraArgs?: readonly string[] | ((endpoint: string) => readonly string[]);
  /** Default: the least there is. */
  readonly bcryptCost?: number;
}

export interface EtcdBackup {
  /** Puts the backup in the place of the data of the etcd it was made of, which must not run, by etcdctl. */
  restore(): Promise<void>;
}

/** A real etcd of this test file's own, with authentication on. */
export async function startTestEtcd(options: TestEtcdOptions = {}): Promise<TestEtcd> {
  const bare = await startBareEtcd(options);
  return Object.assign(bare, await enableAuth(bare.endpoint, systemClock));
}

/** The same as etcd is after its installation: without users, and open to everybody. */
export async function startBareEtcd(options: TestEtcdOptions = {}): Promise<BareEtcd> {
  const binary = await provideEtcd({ cacheDir: cacheDirOf(process.env), clock: systemClock, progress: console.error });
  const dir = mkdtempSync(join(tmpdir(), "fingerpost-etcd-"));
  const clientPort = await findFreePort(systemRandom);
  const peerPort = await findFreePort(systemRandom);
  const { bcryptCost = BCRYPT_COST } = options;
  const extraArgs =
    typeof options.extraArgs === "function"
      ? options.extraArgs(`http://127.0.0.1:${clientPort}`)
      : (options.extraArgs ?? []);
  const launch = () => startEtcd({ binary, dir, clientPort, peerPort, clock: systemClock, bcryptCost, extraArgs });

  let backups = 0;
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
    async backUp(as) {
      const etcdctl = join(await provideEtcdctl(), "etcdctl");
      const file = join(dir, `${++backups}.backup`);
      const env = { PATH: process.env["PATH"], ETCDCTL_API: "3" };
      const user = `${as.username}:${as.password}`;
      await execute(etcdctl, ["--endpoints", endpoint, "snapshot", "save", file], {
        env: { ...env, ETCDCTL_USER: user },
      });
      return {
        async restore() {
          if (server.child.running()) throw new Error("an etcd that runs cannot be restored");
          rmSync(join(dir, "data"), { recursive: true });
          const peer = `http://127.0.0.1:${peerPort}`;
          const members = ["--name=dev", `--initial-cluster=dev=${peer}`, `--initial-advertise-peer-urls=${peer}`];
          await execute(etcdctl, ["snapshot", "restore", file, `--data-dir=${join(dir, "data")}`, ...members], { env });
        },
      };
    },
    async checksRenewals() {
      const { etcdserver } = (await (await fetch(`${endpoint}/version`)).json()) as { readonly etcdserver: string };
      return semver.satisfies(etcdserver, RENEWALS_CHECKED);
    },
    metrics,
    counter: async (name, labels = {}) => sumSamples(await metrics(), name, labels),
    async close() {
      await server.child.end();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
