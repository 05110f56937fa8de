import type { Command } from "commander";
import { CONFIG_FILE_DEFAULT, loadConfig, type ConfigValues, type Judge } from "./load.ts";
import type { ProcessName, Setting } from "./setting.ts";
import { settingsOf } from "./settings.ts";

/** Gives a process' command its flags, and a help that names the variable and the default of each setting. */
export function addSettings(command: Command, process: ProcessName): void {
  command.option("--config <file>", `TOML file (default: ${CONFIG_FILE_DEFAULT}, if there is one)`);
  const withoutFlag: string[] = [];
  for (const setting of settingsOf(process)) {
    // The command has a flag of its own for it, which says more.
    if (command.options.some(({ long }) => long === setting.flag?.split(" ")[0])) continue;
    if (setting.flag) command.option(setting.flag, `${setting.help} [${notes(setting)}]`);
    else withoutFlag.push(`  ${(setting.env ?? setting.path).padEnd(34)}${setting.help} [${notes(setting)}]`);
  }
  command.addHelpText("after", `\nWithout a flag, by environment or file:\n${withoutFlag.join("\n")}\n`);
}

export interface ReadOptions {
  /** A missing file is a problem, though none was named. */
  readonly fileRequired?: boolean;
  readonly judge?: Judge;
}

/** What file, environment and flags come to. Throws ConfigError. */
export function readSettings(command: Command, process: ProcessName, options: ReadOptions = {}): ConfigValues {
  const given = command.opts<Record<string, unknown>>();
  const flags = new Map<string, string | boolean>();
  for (const setting of settingsOf(process)) {
    const value = setting.flag === undefined ? undefined : given[optionName(setting.flag)];
    if (typeof value === "string" || typeof value === "boolean") flags.set(setting.path, value);
  }
  const { config } = given;
  const file = typeof config === "string" ? config : options.fileRequired ? CONFIG_FILE_DEFAULT : undefined;
  return loadConfig(process, { file, env: globalThis.process.env, flags }, options.judge);
}

function notes(setting: Setting): string {
  const parts = [`${setting.path} in the file`];
  if (setting.env !== undefined) parts.unshift(setting.env + (setting.secret ? `, or ${setting.env}_FILE` : ""));
  const value = setting.default;
  if (value !== undefined && value !== false && !(typeof value === "object" && value.length === 0)) {
    parts.push(`default ${typeof value === "object" ? value.join(",") : String(value)}`);
  }
  return parts.join("; ");
}

/** `--lease-ttl-seconds <n>` is `leaseTtlSeconds` to commander. */
function optionName(flag: string): string {
  return (flag.split(" ")[0] ?? flag).slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
