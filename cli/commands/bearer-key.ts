import { createHash, randomBytes } from "node:crypto";
import type { Command } from "commander";
import { isName, NAME_RULE } from "../../contract/names.ts";
import { parseAccessKey } from "../../src/access/keys.ts";
import { parseScope, SCOPE_RULE } from "../../src/access/scopes.ts";
import { refuse } from "../config/load.ts";

/** As much as the digest has: neither is guessed. */
const KEY_BYTES = 32;

/** `fingerpost keys bearer`: a key for a caller of the resolver, and what the resolver is told of it. */
export function addBearerKey(keys: Command): void {
  keys
    .command("bearer <name>")
    .description("Print a new bearer key for a caller of the resolver, and the resolver's entry for it.")
    .option("--scope <namespace/service...>", "what it opens, * for any run of characters; everything if left out")
    .action((name: string, { scope = [] }: { readonly scope?: readonly string[] }) => generate(name, scope));
}

function generate(name: string, scopes: readonly string[]): void {
  const problems = scopes.filter((scope) => !parseScope(scope)).map((scope) => `--scope ${scope}: ${SCOPE_RULE}`);
  if (!isName(name)) problems.unshift(`name: ${NAME_RULE}`);
  if (problems.length > 0) refuse(...problems);

  const key = randomBytes(KEY_BYTES).toString("hex");
  const digest = createHash("sha256").update(key).digest("hex");
  const entry = `${name}=${digest}${scopes.length > 0 ? `@${scopes.join("+")}` : ""}`;
  const parsed = parseAccessKey(entry);
  if ("problem" in parsed) refuse(parsed.problem);
  console.log("# For the caller. Keep it secret; it is kept nowhere else:");
  console.log(`FINGERPOST_RESOLVER_TOKEN=${key}`);
  console.log("# For the resolver, beside the entries of other keys, separated by commas:");
  console.log(`FINGERPOST_KEYS=${entry}`);
}
