import { InvalidArgumentError, Option, type Command } from "commander";
import { DEFAULT_NAMESPACE } from "../contract/names.ts";

/** A process that a command asks. */
export type Target = "registrar" | "resolver";

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
export function tokenFor(target: Target): string | undefined {
  const { env } = process;
  return env[tokenVariable(target)] ?? env["FINGERPOST_TOKEN"];
}

/** What to do when the token was missing or wrong, a sentence. */
export function tokenAdvice(target: Target): string {
  return `Set FINGERPOST_TOKEN, or ${tokenVariable(target)}, which goes before it (see --help).`;
}

function tokenHelp(target: Target): string {
  return `\nThe bearer token is taken from ${tokenVariable(target)} or FINGERPOST_TOKEN.\n`;
}

function tokenVariable(target: Target): string {
  return `FINGERPOST_${target.toUpperCase()}_TOKEN`;
}

/** For commander: an http(s) URL. */
function parseUrl(value: string): string {
  if (URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)) return value;
  throw new InvalidArgumentError("It must be an http:// or https:// URL.");
}
