import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { generateSigningKey, parseSigningKey, publicKeyText } from "../../registrar/signing/key.ts";
import { refuse } from "../config/load.ts";
import { addSettings, readSettings } from "../config/options.ts";
import { textOrUndefined } from "../config/values.ts";
import { addBearerKey } from "./bearer-key.ts";

export function addKeys(program: Command): void {
  const command = program
    .command("keys")
    .description("Make the key by which a registrar signs what it publishes, and the keys of the resolver's callers.");

  command
    .command("generate")
    .description("Print a new signing key for a registrar, and the public key for its resolvers.")
    .option("--out <file>", "write the signing key to this file (0600) instead; a file that is there is never replaced")
    .action(({ out }: { readonly out?: string }) => generate(out));

  const show = command.command("public").description("Print the public key of the signing key that a registrar has.");
  addSettings(show, "keys");
  show.action(() => {
    const key = textOrUndefined(readSettings(show, "keys"), "signing.key");
    if (key === undefined) refuse("FINGERPOST_SIGNING_KEY, or FINGERPOST_SIGNING_KEY_FILE: is required");
    console.log(publicLine(key));
  });

  addBearerKey(command);
}

/** Prints lines as an environment file has them. */
function generate(out: string | undefined): void {
  const key = generateSigningKey();
  if (out !== undefined) writeFileSync(out, `${key}\n`, { mode: 0o600, flag: "wx" });
  console.log("# For the registrar. Keep it secret:");
  console.log(out === undefined ? `FINGERPOST_SIGNING_KEY=${key}` : `FINGERPOST_SIGNING_KEY_FILE=${out}`);
  console.log("# For the resolvers, and for registrars that take over:");
  console.log(publicLine(key));
}

function publicLine(key: string): string {
  return `FINGERPOST_PUBLIC_KEYS=${publicKeyText(parseSigningKey(key))}`;
}
