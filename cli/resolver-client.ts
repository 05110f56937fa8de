import { Option, type Command } from "commander";
import { createClient, ResolveError, type Client, type Filters } from "../client/index.ts";
import { messageOf } from "../kernel/errors.ts";
import { addResolverTarget, namespaceOption, tokenAdvice, tokenFor } from "./target.ts";

/** What a command that asks for the instances of a service takes. */
export interface ServiceOptions {
  readonly namespace: string;
  readonly resolver: string;
  readonly tag?: readonly string[];
  readonly health?: "healthy" | "all" | "healthy-or-all";
  readonly near?: string;
}

export function addServiceOptions(command: Command): Command {
  command
    .argument("<service>", "name of the service")
    .option("--tag <tag>", "only instances with this tag; repeats", collect)
    .addOption(new Option("--health <which>", "which instances").choices(["healthy", "all", "healthy-or-all"]))
    .option("--near <place>", "what is in this zone or region first; auto: near to where the resolver is asked")
    .addOption(namespaceOption());
  return addResolverTarget(command);
}

export function clientOf({ resolver, namespace }: ServiceOptions): Client {
  const token = tokenFor("resolver");
  return createClient({ url: resolver, namespace, ...(token === undefined ? {} : { token }) });
}

export function filtersOf({ tag, health, near }: ServiceOptions): Filters {
  return { tags: tag ?? [], ...(health === undefined ? {} : { health }), ...(near === undefined ? {} : { near }) };
}

/** What the client threw, with whom it asked, and with what to do where a token was missing. */
export function explained(error: unknown, { resolver }: ServiceOptions): Error {
  const refused = error instanceof ResolveError && error.code === "unauthenticated";
  const advice = refused ? ` ${tokenAdvice("resolver")}` : "";
  return new Error(`${resolver}: ${messageOf(error)}${advice}`, { cause: error });
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
