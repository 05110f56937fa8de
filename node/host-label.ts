import { hostname } from "node:os";

/** Leaves room for a port and more behind it in a name of 128. */
const CHARS_MAX = 100;

/** This machine's name, as far as it can stand in the name of an agent or an instance. */
export function hostLabel(otherwise: string): string {
  const label = hostname()
    .replaceAll(/[^A-Za-z0-9.-]/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, CHARS_MAX);
  return label || otherwise;
}
