import { prefixEnd } from "../range.ts";
import type { Right } from "./rights.ts";

/** What etcd is to have: one role with these rights, and one user who has this role. */
export interface SetupPlan {
  readonly role: string;
  readonly rights: readonly Right[];
  readonly user: string;
  /** `certificate`: the user has no password, and shows a client certificate with its name as the common name. */
  readonly login: "password" | "certificate";
  /** Turn authentication on at the end, with root made before. It shuts out everybody who has no credentials. */
  readonly enableAuth: boolean;
}

/**
 * The same as commands of etcdctl, for a shell, and for these endpoints unless ETCDCTL_ENDPOINTS names others. Passwords
 * come from the environment, never from an argument.
 */
export function setupCommands(plan: SetupPlan, endpoints: readonly string[]): readonly string[] {
  const { role, rights, user, login, enableAuth } = plan;
  const lines = [`[ -n "\${ETCDCTL_ENDPOINTS:-}" ] || export ETCDCTL_ENDPOINTS=${quoted(endpoints.join(","))}`];
  // Before anything is made: it ends a script.
  if (login === "password") lines.push(`: "\${FINGERPOST_ETCD_PASSWORD:?is the password that ${user} gets}"`);
  if (enableAuth) lines.push(`: "\${FINGERPOST_ETCD_ROOT_PASSWORD:?is the password that root gets}"`);
  lines.push(`etcdctl role add ${role}`, ...rights.map((right) => grantCommand(role, right)));
  lines.push(
    login === "certificate"
      ? `etcdctl user add ${user} --no-password`
      : addUserCommand(user, "FINGERPOST_ETCD_PASSWORD"),
    `etcdctl user grant-role ${user} ${role}`,
  );
  // Root last, and authentication after it: whoever runs this has every right until then.
  if (enableAuth) {
    lines.push(
      "etcdctl role add root",
      addUserCommand("root", "FINGERPOST_ETCD_ROOT_PASSWORD"),
      "etcdctl user grant-role root root",
      "etcdctl auth enable",
    );
  }
  return lines;
}

/** Nothing where the variable is empty: etcd takes no password for one, and lets everybody in who gives none. */
function addUserCommand(user: string, variable: string): string {
  return `[ -n "$${variable}" ] && printf '%s\\n' "$${variable}" | etcdctl user add ${user} --interactive=false`;
}

export function revokeCommand(role: string, { key, end }: Right): string {
  return `etcdctl role revoke-permission ${role} ${keyArguments(key, end)}`;
}

function grantCommand(role: string, { permission, key, end }: Right): string {
  const isPrefix = end === prefixEnd(key).toString();
  const where = isPrefix ? `--prefix=true ${permission} ${quoted(key)}` : `${permission} ${keyArguments(key, end)}`;
  return `etcdctl role grant-permission ${role} ${where}`;
}

function keyArguments(key: string, end: string | undefined): string {
  return end === undefined ? quoted(key) : `${quoted(key)} ${quoted(end)}`;
}

/** For a shell: keys of other people's roles may hold anything. */
function quoted(text: string): string {
  return /^[A-Za-z0-9/._-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
