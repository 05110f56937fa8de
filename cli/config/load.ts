import { readFileSync } from "node:fs";
import { parse, TomlError } from "smol-toml";
import * as v from "valibot";
import { messageOf, type Violation } from "../../kernel/errors.ts";
import { resolverSettings } from "./resolver-settings.ts";
import type { ProcessName, Setting } from "./setting.ts";
import { settings, settingsOf } from "./settings.ts";

export const CONFIG_FILE_DEFAULT = "fingerpost.toml";

/** Everything wrong with a configuration, one line each: the place it was set, and the rule. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(["The configuration is not valid:", ...problems.map((problem) => `  ${problem}`)].join("\n"));
    this.problems = problems;
  }
}

export interface ConfigSources {
  /** Path of the TOML file; undefined reads fingerpost.toml if there is one. */
  readonly file: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** By setting path: what the command line said, as it said it. */
  readonly flags: ReadonlyMap<string, string | boolean>;
}

export type ConfigValues = ReadonlyMap<string, unknown>;

/** What is wrong beyond a value's own kind, by the variables' names. */
export type Judge = (values: ConfigValues) => readonly Violation[];

interface Given {
  readonly value: unknown;
  readonly origin: string;
}

/**
 * The settings of one process by path: file, environment over it, flags over that, defaults below. Throws ConfigError
 * with every unknown key, every bad value and what `judge` finds at once.
 */
export function loadConfig(process: ProcessName, sources: ConfigSources, judge: Judge = () => []): ConfigValues {
  const problems: string[] = [];
  const origins = new Map<string, string>();
  const refused = new Set<string>();
  const fromFile = readFile(sources.file, problems);
  const values = new Map<string, unknown>();
  for (const setting of settingsOf(process)) {
    const given = find(setting, sources, fromFile, problems);
    if (!given) {
      values.set(setting.path, setting.default);
      continue;
    }
    origins.set(setting.env ?? setting.path, given.origin);
    const parsed = v.safeParse(setting.schema, given.value);
    if (parsed.success) {
      values.set(setting.path, parsed.output);
    } else {
      refused.add(setting.env ?? setting.path);
      for (const issue of parsed.issues) problems.push(describe(setting, given, issue));
    }
  }
  for (const { parameter = "", detail } of judge(values)) {
    // What has no value because of a problem told above is not missing.
    if (!refused.has(parameter)) problems.push(`${origins.get(parameter) ?? parameter}: ${detail}`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return values;
}

/** The values as the variables that a process reads by itself, on whatever platform it runs. */
export function environmentOf(process: ProcessName, values: ConfigValues): Readonly<Record<string, string>> {
  const env: Record<string, string> = {};
  for (const { env: name, path } of settingsOf(process)) {
    const value = values.get(path);
    if (name === undefined || value === undefined) continue;
    // A variable set to nothing is not one that is left out.
    if (Array.isArray(value) && value.length === 0) continue;
    env[name] = Array.isArray(value) ? value.join(",") : `${value as string | number | boolean}`;
  }
  return env;
}

/** Ends a composition of values that are wrong only together. */
export function refuse(...problems: string[]): never {
  throw new ConfigError(problems);
}

function find(
  setting: Setting,
  sources: ConfigSources,
  fromFile: ReadonlyMap<string, unknown>,
  problems: string[],
): Given | undefined {
  const flag = sources.flags.get(setting.path);
  if (flag !== undefined) return { value: coerce(setting, flag), origin: setting.flag?.split(" ")[0] ?? setting.path };

  const { env = "" } = setting;
  const fileVariable = `${env}_FILE`;
  const secretFile = setting.secret ? sources.env[fileVariable] : undefined;
  const variable = env === "" ? undefined : sources.env[env];
  if (variable !== undefined && secretFile !== undefined) {
    problems.push(`${env} and ${fileVariable} are both set: keep one`);
  }
  if (variable !== undefined && !(isJudgedByResolver(setting) && variable.trim() === "")) {
    return { value: coerce(setting, variable), origin: env };
  }
  if (secretFile !== undefined) {
    try {
      const content = readFileSync(secretFile, "utf8").trim();
      // Whoever names a file means what is in it: a secret that was mounted empty is no secret left out.
      if (content !== "") return { value: coerce(setting, content), origin: fileVariable };
      problems.push(`${fileVariable}: the file is empty`);
      return undefined;
    } catch (error) {
      problems.push(`${fileVariable}: cannot be read: ${messageOf(error)}`);
      return undefined;
    }
  }
  if (fromFile.has(setting.path)) return { value: fromFile.get(setting.path), origin: `${setting.path} in the file` };
  return undefined;
}

/** Text from the environment or a flag as the type the setting has in the file. */
function coerce(setting: Setting, given: string | boolean): unknown {
  if (typeof given === "boolean") return given;
  switch (setting.kind) {
    case "text":
    case "tables":
      return given;
    case "list":
      return listOf(given, setting.processes.includes("resolver"));
    case "number":
      return given.trim() === "" || Number.isNaN(Number(given)) ? given : Number(given);
    case "boolean":
      return given === "true" ? true : given === "false" ? false : given;
  }
}

/** On a Worker a variable that is set to nothing is left out; the same ones are so here. */
function isJudgedByResolver(setting: Setting): boolean {
  return resolverSettings.includes(setting);
}

/**
 * Commas alone are a list of variables that were empty: one of public keys, taken for none, would have nothing verified.
 * Of what a Worker reads as well, each part is judged, empty or not, as it is there.
 */
function listOf(given: string, everyPart: boolean): readonly string[] {
  const parts = given.split(",").map((part) => part.trim());
  if (everyPart && parts.length > 1) return parts;
  const filled = parts.filter((part) => part !== "");
  return filled.length === 0 && parts.length > 1 ? parts : filled;
}

function describe(setting: Setting, given: Given, issue: v.BaseIssue<unknown>): string {
  const shown = setting.secret ? "" : ` (it is ${JSON.stringify(issue.input)})`;
  return `${given.origin}: ${issue.message}${shown}`;
}

function readFile(path: string | undefined, problems: string[]): ReadonlyMap<string, unknown> {
  const values = new Map<string, unknown>();
  let text: string;
  try {
    text = readFileSync(path ?? CONFIG_FILE_DEFAULT, "utf8");
  } catch (error) {
    const absent = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (path !== undefined || !absent) problems.push(`${path ?? CONFIG_FILE_DEFAULT}: ${messageOf(error)}`);
    return values;
  }
  try {
    flatten(parse(text), "", values);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The parser's own message quotes the line, and the line may hold a secret.
    problems.push(`${path ?? CONFIG_FILE_DEFAULT}: is not TOML: see line ${error.line}, column ${error.column}`);
    return values;
  }
  const known = new Set(settings.map((setting) => setting.path));
  for (const key of values.keys()) {
    if (known.has(key)) continue;
    problems.push(`${key} in the file: is not a known setting${suggestion(key, known)}`);
  }
  return values;
}

function flatten(table: Readonly<Record<string, unknown>>, prefix: string, into: Map<string, unknown>): void {
  for (const [key, value] of Object.entries(table)) {
    const path = prefix === "" ? key : `${prefix}.${key}`;
    if (isTable(value)) flatten(value, path, into);
    else into.set(path, value);
  }
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function suggestion(key: string, known: ReadonlySet<string>): string {
  const last = key.split(".").at(-1);
  const same = [...known].filter((path) => path.split(".").at(-1) === last);
  return same.length > 0 ? `; did you mean ${same.join(" or ")}?` : "";
}
