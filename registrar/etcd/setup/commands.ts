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

/** The same as commands of etcdctl, for a shell. Passwords come from the environment, never from an argument. */
export function setupCommands({ role, rights, user, login, enableAuth }: SetupPlan): readonly string[] {
  const lines = [`etcdctl role add ${role}`, ...rights.map((right) => grantCommand(role, right))];
  lines.push(
    login === "certificate"
      ? `etcdctl user add ${user} --no-password`
      : `printf '%s\\n' "$FINGERPOST_ETCD_PASSWORD" | etcdctl user add ${user} --interactive=false`,
    `etcdctl user grant-role ${user} ${role}`,
  );
  // Root last, and authentication after it: whoever runs this has every right until then.
  if (enableAuth) {
    lines.push(
      "etcdctl role add root",
      `printf '%s\\n' "$FINGERPOST_ETCD_ROOT_PASSWORD" | etcdctl user add root --interactive=false`,
      "etcdctl user grant-role root root",
      "etcdctl auth enable",
    );
  }
  return lines;
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
