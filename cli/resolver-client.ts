import { Option, type Command } from "commander";
import { createClient, ResolveError, type Client, type Filters } from "../client/index.ts";
import { messageOf } from "../kernel/errors.ts";
import { collect, collectEntry, parseNumber } from "./arguments.ts";
import { addResolverTarget, namespaceOption, tokenAdvice, tokenFor } from "./target.ts";

/** What a command that asks for the instances of a service takes. */
export interface ServiceOptions {
  readonly namespace: string;
  readonly resolver: string;
  readonly instanceVersion?: string;
  readonly tag?: readonly string[];
  readonly region?: string;
  readonly zone?: string;
  readonly meta?: Readonly<Record<string, string>>;
  readonly health?: "healthy" | "all" | "healthy-or-all";
  readonly near?: string;
  readonly limit?: number;
}

export function addServiceOptions(command: Command): Command {
  command
    .argument("<service>", "name of the service")
    .option("--instance-version <range>", "only instances with a semantic version in this range, such as ^1.4")
    .option("--tag <tag>", "only instances with this tag; repeats", collect)
    .option("--region <name>", "only instances of this region")
    .option("--zone <name>", "only instances of this zone")
    .option("--meta <key=value>", "only instances with this metadata entry; repeats", collectEntry)
    .addOption(new Option("--health <which>", "which instances").choices(["healthy", "all", "healthy-or-all"]))
    .option("--near <place>", "what is in this zone or region first; auto: near to where the resolver is asked")
    .option("--limit <n>", "this many at most, after every filter", parseNumber)
    .addOption(namespaceOption());
  return addResolverTarget(command);
}

export function clientOf({ resolver, namespace }: ServiceOptions): Client {
  const token = tokenFor("resolver");
  return createClient({ url: resolver, namespace, ...(token === undefined ? {} : { token }) });
}

export function filtersOf({ instanceVersion, tag, region, zone, meta, health, near, limit }: ServiceOptions): Filters {
  const given = { version: instanceVersion, tags: tag, region, zone, metadata: meta, health, near, limit };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** What the client threw, with whom it asked, and with what to do where a token was missing. */
export function explained(error: unknown, { resolver }: ServiceOptions): Error {
  const refused = error instanceof ResolveError && error.code === "unauthenticated";
  const advice = refused ? ` ${tokenAdvice("resolver")}` : "";
  return new Error(`${resolver}: ${messageOf(error)}${advice}`, { cause: error });
}
