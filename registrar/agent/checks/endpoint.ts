import { isIP } from "node:net";

/** Where one check goes: connected to by `ip`, and called by the registered name. */
export interface Endpoint {
  readonly ip: string;
  /** As it was registered: a host name or an IP address. */
  readonly address: string;
  readonly port: number;
  /** What TLS is spoken with; absent: none is. */
  readonly tls?: EndpointTls;
}

export interface EndpointTls {
  readonly verify: boolean;
  /** PEM of further authorities to trust; those of the system when absent. */
  readonly ca?: string | undefined;
}

/** The name in a Host header and in a certificate. A final dot is of the DNS only. */
export function hostOf({ address }: Endpoint): string {
  return address.replace(/\.$/, "");
}

export function hostAndPort(endpoint: Endpoint): string {
  const host = hostOf(endpoint);
  return `${isIP(host) === 6 ? `[${host}]` : host}:${endpoint.port}`;
}
