import type { Line } from "../fleet/fleet.ts";

export function isMemberLine(line: Line): boolean {
  return isMember(ends(line).from) && isMember(ends(line).to);
}

export function isRegistrarEtcdLine(line: Line): boolean {
  return !isMember(ends(line).from) && isMember(ends(line).to);
}

function isMember(name: string): boolean {
  return name.startsWith("etcd");
}

export function ends({ name }: Line): { readonly from: string; readonly to: string } {
  const [from = "", to = ""] = name.split(">");
  return { from, to };
}
