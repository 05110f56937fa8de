import type { Command } from "commander";
import { addServiceOptions, clientOf, explained, filtersOf, type ServiceOptions } from "../resolver-client.ts";
import { table } from "../table.ts";

interface LookupOptions extends ServiceOptions {
  readonly json?: true;
}

export function addLookup(program: Command): void {
  const command = program
    .command("lookup")
    .description("Ask the resolver for the instances of a service.")
    .option("--json", "print the answer as JSON");
  addServiceOptions(command);
  command.action((service: string, options: LookupOptions) => lookup(service, options));
}

async function lookup(service: string, options: LookupOptions): Promise<void> {
  const answer = await clientOf(options)
    .resolve(service, filtersOf(options))
    .catch((error: unknown) => {
      throw explained(error, options);
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
