import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { InvalidArgumentError, Option, type Command } from "commander";
import { isName, NAME_RULE } from "../../contract/names.ts";
import { systemClock } from "../../kernel/clock.ts";
import { setupCommands, type SetupPlan } from "../../registrar/etcd/setup/commands.ts";
import { rightsOf, type RegistrarRole } from "../../registrar/etcd/setup/rights.ts";
import { refuse, type ConfigValues } from "../config/load.ts";
import { addSettings, readSettings } from "../config/options.ts";
import { readEtcdFiles } from "../config/pem.ts";
import { list, text, textOrUndefined } from "../config/values.ts";

/** Of a password that is made up: 192 bits, as hex, which no shell and no file has to escape. */
const PASSWORD_BYTES = 24;

interface EtcdSetupOptions {
  readonly run?: true;
  readonly namespace?: readonly string[];
  readonly allNamespaces?: true;
  readonly certificate?: true;
  readonly passwordFile?: string;
  readonly enableAuth?: true;
}

export function addEtcdSetup(program: Command): void {
  const command = program
    .command("etcd-setup")
    .description("Print the commands that make a registrar's etcd user with the least rights, or run them.")
    .option("--run", "make user and role, with root's credentials; again, it changes nothing")
    .addOption(
      new Option(
        "--namespace <name>",
        "namespace whose instances an agent may write; repeats (default: the registrar's)",
      ).argParser((value: string, previous: readonly string[] | undefined) => [...(previous ?? []), parseName(value)]),
    )
    .option("--all-namespaces", "every namespace there is and will be")
    .option(
      "--etcd-username <name>",
      "the user, and the name of its role [FINGERPOST_ETCD_USERNAME; etcd.username in the file; default fingerpost, with --role fingerpost-agent or fingerpost-publisher]",
    )
    .option("--certificate", "the user has no password, and comes with a client certificate of its name")
    .option(
      "--password-file <file>",
      "the new user's password; made up, for this file (0600), if it is not there; with --run",
    )
    .option("--enable-auth", "turn authentication on at the end: shuts out whoever has no credentials");
  addSettings(command, "etcd-setup");
  command.action(async (options: EtcdSetupOptions) => {
    const values = readSettings(command, "etcd-setup");
    const plan = planOf(options, values);
    if (options.run) await run(options, values, plan);
    else print(plan, list(values, "etcd.endpoints"));
  });
}

function planOf(options: EtcdSetupOptions, values: ConfigValues): SetupPlan {
  const registrarRole = text(values, "registrar.role") as RegistrarRole;
  const nameDefault = registrarRole === "both" ? "fingerpost" : `fingerpost-${registrarRole}`;
  const name = textOrUndefined(values, "etcd.username") ?? nameDefault;
  const problems: string[] = [];
  if (!isName(name)) problems.push(`etcd.username: ${NAME_RULE} (it is ${JSON.stringify(name)})`);
  if (name === "root") problems.push('etcd.username: must not be "root", who may do everything');
  if (options.allNamespaces && options.namespace) problems.push("--all-namespaces and --namespace: keep one");
  if (options.certificate && options.passwordFile !== undefined) {
    problems.push("--certificate and --password-file: keep one");
  }
  if (options.passwordFile !== undefined && !options.run) {
    problems.push("--password-file: only with --run; what is printed without it asks for the password");
  }
  if (problems.length > 0) refuse(...problems);
  return {
    role: name,
    rights: rightsOf(registrarRole, options.allNamespaces ? "all" : (options.namespace ?? [text(values, "namespace")])),
    user: name,
    login: options.certificate ? "certificate" : "password",
    enableAuth: options.enableAuth === true,
  };
}

function print(plan: SetupPlan, endpoints: readonly string[]): void {
  console.log(
    "# For etcdctl with root's rights (ETCDCTL_USER, where authentication is on); with --run this command does it itself.",
  );
  for (const line of setupCommands(plan, endpoints)) console.log(line);
}

async function run(options: EtcdSetupOptions, values: ConfigValues, plan: SetupPlan): Promise<void> {
  const problems: string[] = [];
  const files = readEtcdFiles(values, problems);
  const given = textOrUndefined(values, "etcd.password");
  if (given !== undefined && options.passwordFile !== undefined) {
    problems.push("--password-file and FINGERPOST_ETCD_PASSWORD: keep one");
  }
  if (problems.length > 0) refuse(...problems);
  const username = text(values, "etcd.root_username");
  const rootPassword = textOrUndefined(values, "etcd.root_password");
  const [{ createAuthAdmin }, { applySetup }, { EtcdError }] = await Promise.all([
    import("../../registrar/etcd/setup/auth-admin.ts"),
    import("../../registrar/etcd/setup/apply.ts"),
    import("../../registrar/etcd/port.ts"),
  ]);
  const admin = createAuthAdmin({
    endpoints: list(values, "etcd.endpoints"),
    credentials: rootPassword === undefined ? undefined : { username, password: rootPassword },
    clock: systemClock,
    ...Object.fromEntries(Object.entries(files).filter(([, pem]) => pem !== undefined)),
  });
  const password = given ?? readPassword(options.passwordFile);
  try {
    await applySetup(
      admin,
      plan,
      {
        password,
        newPassword: () => password ?? makePassword(options.passwordFile),
        rootPassword: username === "root" ? rootPassword : undefined,
      },
      ({ type, text: what }) => console.log(`${type.padEnd(6)} ${what}`),
    );
  } catch (error) {
    if (!(error instanceof EtcdError) || error.code !== "unauthenticated") throw error;
    const refused = rootPassword === undefined ? "no password" : `the password of "${username}"`;
    const remedy = "set FINGERPOST_ETCD_ROOT_PASSWORD (or _FILE), and --root-username if it is not root";
    throw new Error(`etcd refuses ${refused}, and users are made with root's credentials: ${remedy}`, { cause: error });
  } finally {
    admin.close();
  }
}

function readPassword(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    const password = readFileSync(file, "utf8").trim();
    if (password === "") refuse(`--password-file: ${file} is empty`);
    return password;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function makePassword(file: string | undefined): string {
  if (file === undefined) {
    refuse(
      "The new user needs a password: set FINGERPOST_ETCD_PASSWORD (or _FILE), or let --password-file make one up, or use --certificate",
    );
  }
  const password = randomBytes(PASSWORD_BYTES).toString("hex");
  writeFileSync(file, `${password}\n`, { mode: 0o600, flag: "wx" });
  console.log(`made   a password in ${file}: for the registrar, FINGERPOST_ETCD_PASSWORD_FILE=${file}`);
  return password;
}

function parseName(value: string): string {
  if (isName(value)) return value;
  throw new InvalidArgumentError(`It ${NAME_RULE}.`);
}
