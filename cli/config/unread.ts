import type { Log } from "../../node/log.ts";
import { settings } from "./settings.ts";

/** Read outside of the settings: by the commands that ask a process, by what keeps downloads, and by a Worker alone. */
const OTHERS = [
  "FINGERPOST_REGISTRAR_URL",
  "FINGERPOST_REGISTRAR_TOKEN",
  "FINGERPOST_RESOLVER_URL",
  "FINGERPOST_RESOLVER_TOKEN",
  "FINGERPOST_CACHE_DIR",
  "FINGERPOST_DEPLOYMENT",
];

/**
 * The variables that look like ours and that no process reads: probably misspelt. Those of another process are not among
 * them, since one file of variables may serve several.
 */
export function unreadVariables(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  const known = new Set(OTHERS);
  for (const { env: name, secret } of settings) {
    if (name === undefined) continue;
    known.add(name);
    if (secret) known.add(`${name}_FILE`);
  }
  return Object.keys(env).filter((name) => name.startsWith("FINGERPOST_") && !known.has(name));
}

/** A process starts all the same, as a Worker does: the variable may be of whoever else runs there. */
export function warnOfUnread(log: Log): void {
  const variables = unreadVariables(process.env);
  if (variables.length > 0) log.warn({ variables }, "nothing reads these variables: are they misspelt?");
}
