import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../kernel/clock.ts";
import { applySetup } from "../registrar/etcd/setup/apply.ts";
import { createAuthAdmin } from "../registrar/etcd/setup/auth-admin.ts";
import { rightsOf } from "../registrar/etcd/setup/rights.ts";
import type { Binary } from "./binaries.ts";
import { startChild, untilReady, type Child } from "./child.ts";
import { newPassword } from "./password.ts";

/** How long etcd may take until it answers: its first start writes a whole data folder. */
const HEALTHY_BUDGET_MS = 30_000;
const REQUEST_TIMEOUT_MS = 5000;

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export interface EtcdOptions {
  readonly binary: Binary;
  /** Holds its data and its log; a second start in the same folder goes on with the same data. */
  readonly dir: string;
  readonly clientPort: number;
  readonly peerPort: number;
  /** Default: one in its folder. */
  readonly logFile?: string;
  readonly clock: Clock;
  /** Cost of the passwords set from now on (4 to 31, doubling with each step); the server's default is 10. */
  readonly bcryptCost?: number;
  readonly extraArgs?: readonly string[];
  /** Left out, it is a cluster of one. */
  readonly member?: EtcdMembership;
  /** Gives up the wait, and ends the process. */
  readonly signal?: AbortSignal | undefined;
  /** Told why a start takes long. */
  readonly onSlow?: (reason: string) => void;
}

/** What a member of a larger cluster is told at its first start. */
export interface EtcdMembership {
  readonly name: string;
  /** Where the others reach it, which may be something before its own port. */
  readonly peerUrl: string;
  /** All of them, as `--initial-cluster` takes it. */
  readonly cluster: string;
}

export interface EtcdServer {
  readonly endpoint: string;
  readonly child: Child;
}

/** Starts a cluster of one on loopback and waits until it is healthy. Rejects with the end of its log. */
export async function startEtcd(options: EtcdOptions): Promise<EtcdServer> {
  const { clock, signal, onSlow } = options;
  const endpoint = etcdEndpoint(options.clientPort);
  const child = await launchEtcd(options);
  const probe = async () =>
    (await isHealthy(endpoint)) ? undefined : `It does not call itself healthy at ${endpoint}.`;
  await untilReady(child, { budgetMs: HEALTHY_BUDGET_MS, clock, signal, probe, onSlow });
  return { endpoint, child };
}

export function etcdEndpoint(clientPort: number): string {
  return `http://127.0.0.1:${clientPort}`;
}

/** Starts its process, and does not wait for it: a member alone is not healthy before there are others. */
export async function launchEtcd(options: EtcdOptions): Promise<Child> {
  const { binary, dir, clientPort, peerPort, clock } = options;
  const endpoint = etcdEndpoint(clientPort);
  const peer = `http://127.0.0.1:${peerPort}`;
  const { name, peerUrl, cluster } = options.member ?? { name: "dev", peerUrl: peer, cluster: `dev=${peer}` };
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return startChild({
    name: options.member?.name ?? "etcd",
    command: binary.path,
    args: [
      `--name=${name}`,
      `--data-dir=${join(dir, "data")}`,
      "--log-level=warn",
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=${cluster}`,
      ...(options.bcryptCost === undefined ? [] : [`--bcrypt-cost=${options.bcryptCost}`]),
      ...(options.extraArgs ?? []),
    ],
    // Debian refuses to start etcd on some architectures without being told that this is wanted.
    env: { ...binary.env, ETCD_UNSUPPORTED_ARCH: process.arch === "arm64" ? "arm64" : undefined },
    cwd: dir,
    logFile: options.logFile ?? join(dir, "etcd.log"),
    clock,
  });
}

/**
 * Turns authentication on in a new cluster: `root`, and a user with no more rights than a registrar of both roles needs,
 * in whatever namespace is tried out.
 */
export async function enableAuth(endpoint: string, clock: Clock): Promise<{ root: Credentials; user: Credentials }> {
  const root = { username: "root", password: newPassword() };
  const user = { username: "fingerpost", password: newPassword() };
  const admin = createAuthAdmin({ endpoints: [endpoint], credentials: undefined, clock });
  try {
    await applySetup(
      admin,
      {
        role: user.username,
        rights: rightsOf("both", "all"),
        user: user.username,
        login: "password",
        enableAuth: true,
      },
      { password: user.password, newPassword: () => user.password, rootPassword: root.password },
      () => {},
    );
  } finally {
    admin.close();
  }
  return { root, user };
}

/** Whether it answers, and knows a leader. */
export async function isHealthy(endpoint: string): Promise<boolean> {
  try {
    const response = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
    const { health } = (await response.json()) as { readonly health?: string };
    return health === "true";
  } catch {
    // Not listening yet; whether it ever will is for the caller's deadline.
    return false;
  }
}
