import { Option, type Command } from "commander";
import { createClient, ResolveError } from "../../client/index.ts";
import { messageOf } from "../../kernel/errors.ts";
import { addResolverTarget, namespaceOption, tokenAdvice, tokenFor } from "../target.ts";
import { table } from "../table.ts";

interface LookupOptions {
  readonly namespace: string;
  readonly resolver: string;
  readonly tag?: readonly string[];
  readonly health?: "healthy" | "all" | "healthy-or-all";
  readonly json?: true;
}

export function addLookup(program: Command): void {
  const command = program
    .command("lookup")
    .description("Ask the resolver for the instances of a service.")
    .argument("<service>", "name of the service")
    .option("--tag <tag>", "only instances with this tag; repeats", collect)
    .addOption(new Option("--health <which>", "which instances").choices(["healthy", "all", "healthy-or-all"]))
    .option("--json", "print the answer as JSON")
    .addOption(namespaceOption());
  addResolverTarget(command);
  command.action((service: string, options: LookupOptions) => lookup(service, options));
}

async function lookup(service: string, options: LookupOptions): Promise<void> {
  const token = tokenFor("resolver");
  const client = createClient({
    url: options.resolver,
    namespace: options.namespace,
    ...(token === undefined ? {} : { token }),
  });
  const filters = { tags: options.tag ?? [], ...(options.health === undefined ? {} : { health: options.health }) };
  const answer = await client.resolve(service, filters).catch((error: unknown) => {
    const refused = error instanceof ResolveError && error.code === "unauthenticated";
    const advice = refused ? ` ${tokenAdvice("resolver")}` : "";
    throw new Error(`${options.resolver}: ${messageOf(error)}${advice}`, { cause: error });
  });
  if (options.json) {
    console.log(JSON.stringify(answer));
    return;
  }
  console.log(
    table(
      ["INSTANCE", "ADDRESS", "STATUS", "VERSION", "ZONE", "WEIGHT"],
      answer.instances.map((instance) => [
        instance.id,
        instance.url ?? `${instance.protocol}://${instance.address}:${instance.port}`,
        instance.status,
        instance.version ?? "",
        instance.zone ?? "",
        String(instance.weight),
      ]),
    ),
  );
  const stale = answer.stale ? ", stale" : "";
  console.log(`revision ${answer.revision}, ${answer.ageMs} ms old${stale}, from ${answer.source}`);
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
