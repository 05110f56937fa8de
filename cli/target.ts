import { Option, type Command } from "commander";
import { DEFAULT_NAMESPACE } from "../contract/names.ts";
import { parseUrl } from "./http.ts";

/** The flags that say whom a command asks. The token has none, since arguments show in process lists. */
export function addRegistrarTarget(command: Command): Command {
  return command
    .addOption(
      new Option("--registrar <url>", "the registrar to call")
        .env("FINGERPOST_REGISTRAR_URL")
        .default("http://127.0.0.1:7070")
        .argParser(parseUrl),
    )
    .addHelpText("after", tokenHelp("registrar"));
}

export function addResolverTarget(command: Command): Command {
  return command
    .addOption(
      new Option("--resolver <url>", "the resolver to ask")
        .env("FINGERPOST_RESOLVER_URL")
        .default("http://127.0.0.1:8787")
        .argParser(parseUrl),
    )
    .addHelpText("after", tokenHelp("resolver"));
}

export function namespaceOption(): Option {
  return new Option("--namespace <name>", "the namespace").env("FINGERPOST_NAMESPACE").default(DEFAULT_NAMESPACE);
}

/** The path of a namespace's part of an API. */
export function namespacePath(namespace: string): string {
  return `/v1/namespaces/${encodeURIComponent(namespace)}`;
}

/** The bearer token for one of the processes: its own variable, or the one for both. */
export function tokenFor(process: "registrar" | "resolver"): string | undefined {
  const { env } = globalThis.process;
  return env[`FINGERPOST_${process.toUpperCase()}_TOKEN`] ?? env["FINGERPOST_TOKEN"];
}

function tokenHelp(process: "registrar" | "resolver"): string {
  return `\nThe bearer token is taken from FINGERPOST_${process.toUpperCase()}_TOKEN or FINGERPOST_TOKEN.\n`;
}
