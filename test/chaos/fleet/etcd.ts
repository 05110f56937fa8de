import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { cacheDirOf, provideEtcd, type Binary } from "../../../dev/binaries.ts";
import { enableAuth, etcdEndpoint, isHealthy, launchEtcd, type Credentials } from "../../../dev/etcd.ts";
import { provideEtcdctl } from "../../support/etcdctl.ts";
import { sumSamples } from "../../support/prometheus.ts";
import { until } from "../../support/until.ts";
import { makeProcess, type Context } from "./context.ts";
import type { EtcdCluster, EtcdMember, FleetOptions } from "./fleet.ts";
import { whyNotAsked } from "./node-process.ts";
import { startPeerLines, type PeerAddress } from "./peers.ts";

const execute = promisify(execFile);

const MEMBERS = 3;
/** The least cost bcrypt takes: two cores have a whole fleet to run. */
const BCRYPT_COST = 4;
/** Far above what a fleet needs, and yet filled within seconds. */
const QUOTA_BYTES = 32 * 1024 * 1024;
/** So that hours of churn do not fill it: etcd looks every five minutes. */
const REVISIONS_KEPT = 1000;
const HEALTHY_WITHIN_MS = 60_000;
const METRICS_TIMEOUT_MS = 1000;
const ETCDCTL_TIMEOUT_MS = 60_000;

/** A cluster of three with authentication on, whose members reach each other over lines. */
export async function startCluster(
  context: Context,
  onClose: (close: () => Promise<void>) => void,
): Promise<EtcdCluster> {
  const { dir, ports, clock, options } = context;
  const progress = context.say;
  const { quotaBytes = QUOTA_BYTES } = options.etcd ?? {};
  const binary = await provideEtcd({ cacheDir: cacheDirOf(process.env), clock, progress });
  const addresses: PeerAddress[] = [];
  for (let index = 0; index < MEMBERS; index++) {
    addresses.push({ name: `etcd-${index}`, peerPort: await ports.claimAny() });
  }
  const peers = await startPeerLines(context, addresses);
  onClose(() => peers.close());
  const cluster = addresses.map(({ name }) => `${name}=${peers.urlOf(name)}`).join(",");
  const members: Made[] = [];
  for (const { name, peerPort } of addresses) {
    const started = { ...binary, env: { ...binary.env, ...peers.environmentOf(name) } };
    const membership = { name, peerUrl: peers.urlOf(name), cluster };
    members.push(await makeMember(context, started, membership, peerPort));
  }

  await Promise.all(members.map((member) => member.start()));
  await until(
    "etcd has a leader",
    async () => (await Promise.all(members.map(({ url }) => isHealthy(url)))).every(Boolean),
    { timeoutMs: HEALTHY_WITHIN_MS, signal: options.signal },
  );
  const { root, user } = await enableAuth(members[0]?.url ?? "", clock);
  const passwordFile = join(dir, "etcd-password");
  writeFileSync(passwordFile, user.password, { mode: 0o600 });
  const etcdctl = await createEtcdctl(root, members);
  const ids = memberIds(await etcdctl(["member", "list"]));
  for (const member of members) member.memberId = ids.get(member.name) ?? "";
  const version = (await (await fetch(`${members[0]?.url}/version`)).json()) as { readonly etcdserver: string };
  return {
    members,
    version: version.etcdserver,
    root,
    users: [{ ...user, role: user.username }],
    quotaBytes,
    passwordFile,
    etcdctl,
    async leader() {
      const leads = await Promise.all(members.map(isLeader));
      return members.find((_, index) => leads[index]);
    },
  };
}

/** Its id is known once it has joined the others. */
type Made = EtcdMember & { memberId: string };

async function makeMember(
  context: Context,
  binary: Binary,
  member: { readonly name: string; readonly peerUrl: string; readonly cluster: string },
  peerPort: number,
): Promise<Made> {
  const { clock, options } = context;
  const { name } = member;
  const clientPort = await context.ports.claimAny();
  const url = etcdEndpoint(clientPort);
  const dir = join(context.dir, name);
  const extraArgs = extraArgsOf(options);
  const bcryptCost = BCRYPT_COST;
  const logFile = join(context.dir, `${name}.log`);
  const made = makeProcess(context, {
    name,
    kind: "etcd",
    url,
    logFile,
    launch: () => launchEtcd({ binary, dir, logFile, clientPort, peerPort, member, clock, bcryptCost, extraArgs }),
    // It is not healthy as long as it is alone, and yet it runs.
    probe: () => whyNotAsked(`${url}/version`),
  });
  return Object.assign(made, {
    memberId: "",
    dataDir: join(dir, "data"),
    async metrics() {
      // As it is: packing costs both sides more than it takes.
      const headers = { "accept-encoding": "identity" };
      const response = await fetch(`${url}/metrics`, { headers, signal: AbortSignal.timeout(METRICS_TIMEOUT_MS) });
      return response.text();
    },
  });
}

function extraArgsOf({ etcd = {} }: FleetOptions): readonly string[] {
  const given = {
    "quota-backend-bytes": etcd.quotaBytes ?? QUOTA_BYTES,
    "auto-compaction-mode": "revision",
    "auto-compaction-retention": REVISIONS_KEPT,
    "snapshot-count": etcd.snapshotCount,
    "auth-token-ttl": etcd.authTokenTtlSeconds,
  };
  return Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`]));
}

/** By its own metrics, so that nothing is asked of it that counts as a request. */
async function isLeader(member: EtcdMember): Promise<boolean> {
  if (member.state() !== "running") return false;
  try {
    return sumSamples(await member.metrics(), "etcd_server_is_leader", {}) === 1;
  } catch {
    // It does not answer, and so it is not the one that is wanted.
    return false;
  }
}

async function createEtcdctl(root: Credentials, all: readonly EtcdMember[]): Promise<EtcdCluster["etcdctl"]> {
  const program = join(await provideEtcdctl(), "etcdctl");
  const env = { PATH: process.env["PATH"], ETCDCTL_API: "3", ETCDCTL_USER: `${root.username}:${root.password}` };
  return async (args, members = all) => {
    const endpoints = members.map(({ url }) => url).join(",");
    const { stdout } = await execute(program, ["--endpoints", endpoints, ...args], {
      env,
      timeout: ETCDCTL_TIMEOUT_MS,
    });
    return stdout;
  };
}

/** `8e9e05c52164694d, started, etcd-0, …`, one line each. */
function memberIds(list: string): Map<string, string> {
  return new Map(
    list
      .split("\n")
      .map((line) => line.split(", "))
      .map(([id = "", , name = ""]) => [name, id]),
  );
}
