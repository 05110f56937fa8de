import type { ConfigValues } from "./load.ts";

/** Typed access to values that the settings' schemas have already checked. A wrong type here is our own defect. */
export function text(values: ConfigValues, path: string): string {
  const value = values.get(path);
  if (typeof value !== "string") throw new TypeError(`setting ${path} is not text`);
  return value;
}

export function textOrUndefined(values: ConfigValues, path: string): string | undefined {
  return values.get(path) === undefined ? undefined : text(values, path);
}

export function number(values: ConfigValues, path: string): number {
  const value = values.get(path);
  if (typeof value !== "number") throw new TypeError(`setting ${path} is not a number`);
  return value;
}

export function numberOrUndefined(values: ConfigValues, path: string): number | undefined {
  return values.get(path) === undefined ? undefined : number(values, path);
}

export function flag(values: ConfigValues, path: string): boolean {
  const value = values.get(path);
  if (typeof value !== "boolean") throw new TypeError(`setting ${path} is not true or false`);
  return value;
}

export function list(values: ConfigValues, path: string): readonly string[] {
  const value = values.get(path);
  if (!Array.isArray(value)) throw new TypeError(`setting ${path} is not a list`);
  return value.map(String);
}
