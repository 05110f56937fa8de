import { FingerpostError } from "../../../kernel/errors.ts";
import type { AuthAdmin } from "./auth-admin.ts";
import { revokeCommand, type SetupPlan } from "./commands.ts";
import { rightInWords, sameRight, type Right } from "./rights.ts";

const ROOT = "root";

export interface SetupSecrets {
  /** Of the user, where one has to be made: asked for only then, so that none is made up in vain. */
  readonly newPassword: () => string;
  /** The password the user is to have, where it is known; undefined otherwise. */
  readonly password: string | undefined;
  /** Root's, for turning authentication on. */
  readonly rootPassword: string | undefined;
}

/** What was found or done, in order; `advice` is for the operator to act on. */
export interface SetupStep {
  readonly type: "made" | "found" | "advice";
  readonly text: string;
}

/**
 * Makes etcd as planned. What is there already is left as it is, so that a second run changes nothing, and nothing is
 * ever taken away: a right too many is told, with the command that revokes it. Authentication comes last, once root and
 * the user are complete. Rejects with an EtcdError, or with `invalid_argument` before anything is changed.
 */
export async function applySetup(
  admin: AuthAdmin,
  plan: SetupPlan,
  secrets: SetupSecrets,
  onStep: (step: SetupStep) => void,
): Promise<void> {
  const enabled = await admin.isEnabled();
  if (plan.enableAuth && !enabled && secrets.rootPassword === undefined) {
    throw new FingerpostError(
      "invalid_argument",
      "Turning authentication on needs the password root shall have: set FINGERPOST_ETCD_ROOT_PASSWORD, or _FILE.",
    );
  }
  const roles = await admin.rolesOf(plan.user);
  // Before anything is changed, since there may be none to give.
  const password = roles || plan.login === "certificate" ? undefined : secrets.newPassword();
  await ensureRole(admin, plan, onStep);
  if (!roles) await admin.addUser(plan.user, password);
  await ensureUser(admin, plan, roles, onStep);
  if (roles && enabled && plan.login === "password") await checkPassword(admin, plan, secrets, onStep);
  if (enabled) {
    onStep({ type: "found", text: "authentication is on" });
  } else if (plan.enableAuth && secrets.rootPassword !== undefined) {
    await ensureRoot(admin, secrets.rootPassword, onStep);
    await admin.enable();
    onStep({ type: "made", text: "authentication is on now: whoever has no credentials is shut out" });
  } else {
    onStep({
      type: "advice",
      text: "authentication is off, so everybody may do everything: --enable-auth turns it on, and shuts out whoever has no credentials",
    });
  }
}

async function ensureRole(admin: AuthAdmin, { role, rights }: SetupPlan, onStep: (step: SetupStep) => void) {
  const found = await admin.rights(role);
  if (!found) await admin.addRole(role);
  onStep({ type: found ? "found" : "made", text: `role ${role}` });
  for (const right of rights) {
    const granted = found?.some((other) => sameRight(other, right)) === true;
    if (!granted) await admin.grantRight(role, right);
    onStep({ type: granted ? "found" : "made", text: `role ${role}: ${rightInWords(right)}` });
  }
  for (const right of found ?? []) {
    // Granting another permission for the same range has replaced it.
    if (rights.some(({ key, end }) => key === right.key && end === right.end)) continue;
    onStep({ type: "advice", text: needless(role, right) });
  }
}

async function ensureUser(
  admin: AuthAdmin,
  { user, role }: SetupPlan,
  roles: readonly string[] | undefined,
  onStep: (step: SetupStep) => void,
) {
  if (roles) onStep({ type: "found", text: `user ${user}, whose password is left as it is` });
  else onStep({ type: "made", text: `user ${user}` });
  const has = roles?.includes(role) === true;
  if (!has) await admin.grantRole(user, role);
  onStep({ type: has ? "found" : "made", text: `user ${user}: role ${role}` });
  for (const other of roles ?? []) {
    if (other === role) continue;
    onStep({
      type: "advice",
      text: `user ${user} has the role ${other} besides; if nothing needs it: etcdctl user revoke-role ${user} ${other}`,
    });
  }
}

async function checkPassword(
  admin: AuthAdmin,
  { user }: SetupPlan,
  { password }: SetupSecrets,
  onStep: (step: SetupStep) => void,
) {
  if (password === undefined || (await admin.accepts({ username: user, password }))) return;
  onStep({
    type: "advice",
    text: `user ${user} has another password than the one given; to change it: etcdctl user passwd ${user}`,
  });
}

async function ensureRoot(admin: AuthAdmin, password: string, onStep: (step: SetupStep) => void) {
  if (!(await admin.rights(ROOT))) await admin.addRole(ROOT);
  const roles = await admin.rolesOf(ROOT);
  if (roles) {
    // Nobody can tell whether an old password is the one given, and a forgotten one would shut out everybody.
    await admin.setPassword(ROOT, password);
    onStep({ type: "made", text: "user root: its password is the one given now" });
  } else {
    await admin.addUser(ROOT, password);
    onStep({ type: "made", text: "user root" });
  }
  if (!roles?.includes(ROOT)) await admin.grantRole(ROOT, ROOT);
}

function needless(role: string, right: Right): string {
  return `role ${role} also has ${rightInWords(right)}, which this registrar does not need: ${revokeCommand(role, right)}`;
}
