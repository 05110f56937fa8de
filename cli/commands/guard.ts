import { Option, type Command } from "commander";
import { namespacePath, addRegistrarTarget } from "../target.ts";
import { call } from "../http.ts";
import { table } from "../table.ts";

/** Holds asked for at once. */
const PAGE_SIZE = 1000;

interface GuardOptions {
  readonly namespace?: string;
  readonly registrar: string;
  readonly json?: true;
}

/** As far as it is shown. */
interface GuardPage {
  readonly holds: readonly {
    readonly namespace: string;
    readonly service: string;
    readonly id: string;
    readonly cause: string;
    readonly until: string;
    readonly reasons: readonly string[];
  }[];
  readonly next?: string;
}

export function addGuard(program: Command): void {
  const command = program
    .command("guard")
    .description("List the instances that the leading registrar holds back, and why.")
    .option("--json", "print one JSON object a line")
    .addOption(namespaceOption());
  addRegistrarTarget(command);
  command.action((options: GuardOptions) => show(options));

  const release = command
    .command("release")
    .description("Let go what is held back: all of it, or one service.")
    .argument("[service]", "the service; without --namespace, of the registrar's own namespace")
    .addOption(namespaceOption());
  addRegistrarTarget(release);
  release.action((service: string | undefined) => letGo(service, release.optsWithGlobals()));
}

function namespaceOption(): Option {
  return new Option("--namespace <name>", "only this namespace (default: all)").env("FINGERPOST_NAMESPACE");
}

const baseOf = ({ namespace }: GuardOptions) => (namespace === undefined ? "/v1" : namespacePath(namespace));

async function show(options: GuardOptions): Promise<void> {
  const asked = { target: "registrar", url: options.registrar } as const;
  const holds: GuardPage["holds"][number][] = [];
  let next: string | undefined;
  do {
    const query = new URLSearchParams({ limit: String(PAGE_SIZE), ...(next === undefined ? {} : { cursor: next }) });
    const page = (await call(asked, `${baseOf(options)}/guard?${query}`)) as GuardPage;
    holds.push(...page.holds);
    next = page.next;
  } while (next !== undefined);
  if (options.json) {
    for (const hold of holds) console.log(JSON.stringify(hold));
    return;
  }
  const rows = holds.map(({ namespace, service, id, cause, until, reasons }) => {
    return [namespace, service, id, cause, until, reasons.join(" ")];
  });
  console.log(table(["NAMESPACE", "SERVICE", "INSTANCE", "CAUSE", "UNTIL", "WHY"], rows));
}

async function letGo(service: string | undefined, options: GuardOptions): Promise<void> {
  const query = service === undefined ? "" : `?${new URLSearchParams({ service })}`;
  const asked = { target: "registrar", url: options.registrar } as const;
  await call(asked, `${baseOf(options)}/guard/release${query}`, { method: "POST" });
}
