import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { messageOf } from "../kernel/errors.ts";
import { addDev } from "./commands/dev.ts";
import { addEtcdSetup } from "./commands/etcd-setup.ts";
import { addGateway } from "./commands/gateway.ts";
import { addGuard } from "./commands/guard.ts";
import { addKeys } from "./commands/keys.ts";
import { addLookup } from "./commands/lookup.ts";
import { addLs } from "./commands/ls.ts";
import { addRegister } from "./commands/register.ts";
import { addRegistrar } from "./commands/registrar.ts";
import { addResolver } from "./commands/resolver.ts";
import { addStatus } from "./commands/status.ts";
import { addWatch } from "./commands/watch.ts";
import { ConfigError } from "./config/load.ts";

const EXIT_FAILED = 1;
/** Wrong arguments or configuration: nothing was started. */
const EXIT_USAGE = 2;

/** Runs one command line and gives its exit code: 0 done, 1 failed, 2 wrong arguments or configuration. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const program = new Command("fingerpost")
    .description("Service discovery for functions at the edge.")
    .version(packageVersion())
    .exitOverride()
    .showHelpAfterError("(--help lists what it takes)");
  // In the order in which the data flows. The processes themselves are loaded by the command that runs them, so that
  // a lookup does not wait for gRPC to load.
  for (const add of [
    addEtcdSetup,
    addKeys,
    addRegistrar,
    addGateway,
    addResolver,
    addDev,
    addRegister,
    addLookup,
    addWatch,
    addLs,
    addStatus,
    addGuard,
  ]) {
    add(program);
  }
  for (const command of program.commands) command.copyInheritedSettings(program);
  try {
    await program.parseAsync(argv);
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    if (error instanceof ConfigError) {
      console.error(error.message);
      return EXIT_USAGE;
    }
    console.error(`fingerpost: ${messageOf(error)}`);
    return EXIT_FAILED;
  }
}

function packageVersion(): string {
  // Beside the sources in a checkout, one folder up from dist/ in the package.
  for (const path of ["../package.json", "../../package.json"]) {
    try {
      const manifest: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
      if (typeof manifest === "object" && manifest !== null && "version" in manifest) return String(manifest.version);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  }
  throw new Error("package.json was not found beside the program");
}
