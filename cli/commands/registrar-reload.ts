import type { Log } from "../../node/log.ts";
import type { Registrar } from "../../registrar/run.ts";
import { parseStatic, type StaticRegistration } from "../../registrar/static/parse.ts";
import { ConfigError, refuse, type ConfigValues } from "../config/load.ts";
import { text } from "../config/values.ts";

const SERVICES = "registrar.services";

/** What the configuration registers. What is wrong with it goes to `problems`. */
export function readServices(values: ConfigValues, problems: string[]): readonly StaticRegistration[] {
  const services = parseStatic(values.get(SERVICES), text(values, "namespace"), problems);
  if (services.length > 0 && values.get("registrar.role") === "publisher") {
    problems.push("registrar.services in the file: needs the role agent or both: a publisher registers nothing");
  }
  return services;
}

/**
 * Reads the configuration again at each SIGHUP, from now on: what it registers takes effect, and what else has changed
 * is told as needing a restart. One that is not valid changes nothing. Returns what the registrar is given to once it
 * runs; a signal that came before then counts then.
 */
export function reloadOnHangUp(
  log: Log,
  started: ConfigValues,
  read: () => ConfigValues,
): (registrar: Registrar) => void {
  let running: Registrar | undefined;
  let asked = false;

  function reload(): void {
    asked = true;
    if (!running) return;
    asked = false;
    try {
      const values = read();
      const problems: string[] = [];
      // In the namespace that is in force: another default needs a restart too.
      const services = readServices(new Map([...started, [SERVICES, values.get(SERVICES)]]), problems);
      if (problems.length > 0) refuse(...problems);
      const needRestart = [...values].filter(([path, value]) => path !== SERVICES && !same(value, started.get(path)));
      if (needRestart.length > 0) {
        log.warn({ settings: needRestart.map(([path]) => path) }, "settings have changed that need a restart");
      }
      running.setServices(services);
      log.info({ services: services.length }, "the configuration was read again");
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      log.error({ problems: error.problems }, "the configuration is not valid, and changes nothing");
    }
  }

  process.on("SIGHUP", reload);
  return (registrar) => {
    running = registrar;
    if (asked) reload();
  };
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
