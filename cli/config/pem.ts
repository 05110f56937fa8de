import { readFileSync } from "node:fs";
import { messageOf } from "../../kernel/errors.ts";
import type { ConfigValues } from "./load.ts";
import { textOrUndefined } from "./values.ts";

/** PEM text of etcd's TLS settings. What cannot be read goes to `problems`. */
export function readEtcdFiles(values: ConfigValues, problems: string[]) {
  return {
    ca: readPem(values, "etcd.ca", problems),
    cert: readPem(values, "etcd.cert", problems),
    key: readPem(values, "etcd.key", problems),
  };
}

/** PEM text of the file that a setting names, if it does. What cannot be read goes to `problems`. */
export function readPem(values: ConfigValues, path: string, problems: string[]): string | undefined {
  const file = textOrUndefined(values, path);
  if (file === undefined) return undefined;
  try {
    const pem = readFileSync(file, "utf8");
    if (pem.includes("-----BEGIN ")) return pem;
    problems.push(`${path}: ${file} is not a PEM file`);
  } catch (error) {
    problems.push(`${path}: ${messageOf(error)}`);
  }
  return undefined;
}
