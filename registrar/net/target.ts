import { lookup as lookupSystem } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { FingerpostError } from "../../kernel/errors.ts";

/** Gives every address of a name, in the order of the system's preference. */
export type Lookup = (
  name: string,
  options: { readonly all: true },
) => Promise<readonly { readonly address: string }[]>;

/**
 * Where nothing of ours connects to, whoever registers it. On link-local addresses clouds serve a machine's own
 * credentials; connecting to the unspecified address reaches this machine instead of the one that was registered.
 */
const refused = new BlockList();
refused.addSubnet("169.254.0.0", 16);
refused.addSubnet("224.0.0.0", 4);
refused.addSubnet("0.0.0.0", 8);
refused.addAddress("255.255.255.255");
refused.addSubnet("fe80::", 10, "ipv6");
refused.addSubnet("ff00::", 8, "ipv6");
refused.addAddress("::", "ipv6");
// Clouds that serve credentials, or the host itself, outside of what is link-local: AWS and GCP over IPv6, Alibaba, Azure.
// No list of them is complete; who may register decides.
refused.addAddress("fd00:ec2::254", "ipv6");
refused.addAddress("fd20:ce::254", "ipv6");
refused.addAddress("100.100.100.200");
refused.addAddress("168.63.129.16");
// 169.254.0.0/16 once more, inside of what translates IPv4 (RFC 6052, RFC 3056, RFC 4291).
refused.addSubnet("64:ff9b::a9fe:0", 112, "ipv6");
refused.addSubnet("2002:a9fe::", 32, "ipv6");
refused.addSubnet("::a9fe:0", 112, "ipv6");

function isRefused(ip: string): boolean {
  return refused.check(ip, isIP(ip) === 6 ? "ipv6" : "ipv4");
}

/**
 * Throws `invalid_argument` when no check or probe would ever connect to a registered `address`. A name passes: where it
 * leads is looked at each time.
 */
export function refuseUnreachable(address: string): void {
  if (isIP(address) === 0 || !isRefused(address)) return;
  throw new FingerpostError("invalid_argument", "The registration is not valid.", {
    violations: [
      { pointer: "/address", detail: "must not be link-local, multicast or unspecified: no check goes there" },
    ],
  });
}

/**
 * The IP address to connect to for a registered `address`, a host name or an IP address. Connect to what this gives and
 * not to the name: a name can lead elsewhere the next time it is asked for. Rejects with `permission_denied` when all it
 * leads to is link-local, multicast or unspecified, and with the system's error when the name is not known.
 */
export async function resolveTarget(address: string, lookup: Lookup = lookupSystem): Promise<string> {
  const found = isIP(address) === 0 ? await lookup(address, { all: true }) : [{ address }];
  const allowed = found.find((each) => !isRefused(each.address));
  if (allowed) return allowed.address;
  const message = `"${address}" is a link-local, multicast or unspecified address, and nothing connects there.`;
  throw new FingerpostError("permission_denied", message);
}
