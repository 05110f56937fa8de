import type { Line } from "./line.ts";

/**
 * What `fingerpost dev --json` prints: addresses, secrets and process ids for other programs. `redis` and `etcdRoot`
 * are administrators, for tests that break things. Null: not started here, since the environment named another.
 */
export interface Report {
  readonly resolver: string;
  readonly registrar: string;
  readonly gateway: string;
  readonly etcd: string;
  readonly redis: string | null;
  readonly tokens: {
    readonly resolver: string;
    readonly registrar: string;
    readonly gateway: string | null;
    readonly gatewayReadOnly: string | null;
  };
  readonly etcdRoot: { readonly username: string; readonly password: string } | null;
  readonly pids: {
    readonly etcd: number | null;
    readonly redis: number | null;
    readonly gateway: number | null;
    readonly registrar: number;
    readonly resolver: number;
  };
}

export function toReport({ etcd, rest, registrar, resolver }: Line): Report {
  return {
    resolver: resolver.url,
    registrar: registrar.url,
    gateway: rest.url,
    etcd: etcd.url,
    redis: rest.own?.redisUrl ?? null,
    tokens: {
      resolver: resolver.token,
      registrar: registrar.token,
      gateway: rest.own ? rest.token : null,
      gatewayReadOnly: rest.own ? rest.readOnlyToken : null,
    },
    etcdRoot: etcd.root ?? null,
    pids: {
      etcd: etcd.part?.pid ?? null,
      redis: rest.own?.redis.pid ?? null,
      gateway: rest.own?.gateway.pid ?? null,
      registrar: registrar.part.pid,
      resolver: resolver.part.pid,
    },
  };
}
