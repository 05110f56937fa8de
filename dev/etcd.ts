import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ETCD_PREFIX } from "../contract/etcd-keys.ts";
import type { Clock } from "../kernel/clock.ts";
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
  readonly clock: Clock;
  /** Cost of the passwords set from now on (4 to 31, doubling with each step); the server's default is 10. */
  readonly bcryptCost?: number;
  readonly extraArgs?: readonly string[];
  /** Gives up the wait, and ends the process. */
  readonly signal?: AbortSignal | undefined;
  /** Told why a start takes long. */
  readonly onSlow?: (reason: string) => void;
}

export interface EtcdServer {
  readonly endpoint: string;
  readonly child: Child;
}

/** Starts a cluster of one on loopback and waits until it is healthy. Rejects with the end of its log. */
export async function startEtcd(options: EtcdOptions): Promise<EtcdServer> {
  const { binary, dir, clientPort, peerPort, clock, signal } = options;
  const endpoint = `http://127.0.0.1:${clientPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const child = await startChild({
    name: "etcd",
    command: binary.path,
    args: [
      "--name=dev",
      `--data-dir=${join(dir, "data")}`,
      "--log-level=warn",
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=dev=${peer}`,
      ...(options.bcryptCost === undefined ? [] : [`--bcrypt-cost=${options.bcryptCost}`]),
      ...(options.extraArgs ?? []),
    ],
    // Debian refuses to start etcd on some architectures without being told that this is wanted.
    env: { ...binary.env, ETCD_UNSUPPORTED_ARCH: process.arch === "arm64" ? "arm64" : undefined },
    cwd: dir,
    logFile: join(dir, "etcd.log"),
    clock,
  });
  const probe = async () =>
    (await isHealthy(endpoint)) ? undefined : `It does not call itself healthy at ${endpoint}.`;
  await untilReady(child, { budgetMs: HEALTHY_BUDGET_MS, clock, signal, probe, onSlow: options.onSlow });
  return { endpoint, child };
}

/**
 * Turns authentication on in a new cluster: `root`, and a user for the registrar whose one role covers our prefix.
 * WRITE alone would fail the registrar's compares, so the role reads and writes.
 */
export async function enableAuth(endpoint: string): Promise<{ root: Credentials; user: Credentials }> {
  const root = { username: "root", password: newPassword() };
  const user = { username: "fingerpost", password: newPassword() };
  const role = "fingerpost";
  await post(endpoint, "auth/role/add", { name: "root" });
  await post(endpoint, "auth/role/add", { name: role });
  await post(endpoint, "auth/role/grant", {
    name: role,
    perm: { permType: "READWRITE", key: base64(ETCD_PREFIX), range_end: base64(prefixEnd(ETCD_PREFIX)) },
  });
  for (const [account, granted] of [
    [root, "root"],
    [user, role],
  ] as const) {
    await post(endpoint, "auth/user/add", { name: account.username, password: account.password });
    await post(endpoint, "auth/user/grant", { user: account.username, role: granted });
  }
  await post(endpoint, "auth/enable", {});
  return { root, user };
}

async function isHealthy(endpoint: string): Promise<boolean> {
  try {
    const response = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
    const { health } = (await response.json()) as { readonly health?: string };
    return health === "true";
  } catch {
    // Not listening yet; whether it ever will is for the caller's deadline.
    return false;
  }
}

/** etcd's JSON gateway. The body may hold a password, so an error quotes the path and the answer alone. */
async function post(endpoint: string, path: string, body: unknown): Promise<void> {
  const response = await fetch(`${endpoint}/v3/${path}`, {
    method: "POST",
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`etcd refused ${path}: ${text}`);
}

/** The least key after every key with the prefix, as etcd's ranges want it. */
function prefixEnd(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCodePoint((prefix.codePointAt(prefix.length - 1) ?? 0) + 1);
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
