import type { Command } from "commander";
import type { Instance, Watched } from "../../client/index.ts";
import { shutdownSignal } from "../../node/shutdown.ts";
import { addServiceOptions, clientOf, explained, filtersOf, type ServiceOptions } from "../resolver-client.ts";

interface WatchOptions extends ServiceOptions {
  readonly json?: true;
}

export function addWatch(program: Command): void {
  const command = program
    .command("watch")
    .description("Print what changes of a service, a line a change, until Ctrl-C.")
    .option("--json", "print each state as JSON");
  addServiceOptions(command);
  command.action((service: string, options: WatchOptions) => watch(service, options));
}

async function watch(service: string, options: WatchOptions): Promise<void> {
  const signal = shutdownSignal();
  let before: readonly Instance[] = [];
  try {
    for await (const seen of clientOf(options).watch(service, { ...filtersOf(options), signal })) {
      console.log(options.json ? JSON.stringify(seen) : lineOf(service, seen, before));
      before = seen.type === "found" ? seen.instances : [];
    }
  } catch (error) {
    throw explained(error, options);
  }
}

function lineOf(service: string, seen: Watched, before: readonly Instance[]): string {
  const stale = seen.stale ? ", stale" : "";
  if (seen.type === "unknown") return `there is no service "${service}"${stale}`;
  const changes = changesOf(before, seen.instances);
  const count = `${seen.instances.length} ${seen.instances.length === 1 ? "instance" : "instances"}`;
  return `revision ${seen.revision}${stale}: ${count}${changes.map((change) => ` ${change}`).join("")}`;
}

/** `+` came, `-` went, `~` is another than before. */
function changesOf(before: readonly Instance[], after: readonly Instance[]): readonly string[] {
  const texts = new Map(before.map((instance) => [instance.id, JSON.stringify(instance)]));
  const changes: string[] = [];
  for (const instance of after) {
    const text = texts.get(instance.id);
    texts.delete(instance.id);
    if (text === undefined) changes.push(`+${instance.id}`);
    else if (text !== JSON.stringify(instance)) changes.push(`~${instance.id}(${instance.status})`);
  }
  return [...changes, ...[...texts.keys()].map((id) => `-${id}`)];
}
