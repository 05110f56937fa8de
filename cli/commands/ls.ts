import type { Command } from "commander";
import type { ServicesAnswer } from "../../contract/http.ts";
import { call } from "../http.ts";
import { addResolverTarget, namespaceOption, namespacePath } from "../target.ts";
import { table } from "../table.ts";

/** Names asked for at once. */
const PAGE_SIZE = 1000;

interface LsOptions {
  readonly namespace: string;
  readonly resolver: string;
  readonly json?: true;
}

export function addLs(program: Command): void {
  const command = program
    .command("ls")
    .description("List the services the resolver knows.")
    .option("--json", "print one JSON object a line")
    .addOption(namespaceOption());
  addResolverTarget(command);
  command.action((options: LsOptions) => ls(options));
}

async function ls(options: LsOptions): Promise<void> {
  const services: ServicesAnswer["services"][number][] = [];
  let next: string | undefined;
  do {
    const query = new URLSearchParams({ limit: String(PAGE_SIZE), ...(next === undefined ? {} : { cursor: next }) });
    const path = `${namespacePath(options.namespace)}/services?${query}`;
    const page = (await call({ target: "resolver", url: options.resolver }, path)) as ServicesAnswer;
    services.push(...page.services);
    next = page.next;
  } while (next !== undefined);
  if (options.json) for (const service of services) console.log(JSON.stringify(service));
  else
    console.log(
      table(
        ["SERVICE", "INSTANCES"],
        services.map(({ name, instances }) => [name, String(instances)]),
      ),
    );
}
