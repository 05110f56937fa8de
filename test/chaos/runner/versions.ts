import { createRequire } from "node:module";
import type { Fleet } from "../fleet/fleet.ts";

/** Of what a run is made of: a failure may be one of theirs. */
export async function versionsOf({ etcd, redis }: Fleet): Promise<Readonly<Record<string, string>>> {
  const server = await redis.master().cli("INFO", "server");
  const { version: workerd } = createRequire(createRequire(import.meta.url).resolve("miniflare"))(
    "workerd/package.json",
  ) as { version: string };
  return {
    etcd: etcd.version,
    Redis: /redis_version:(\S+)/.exec(server)?.[1] ?? "unknown",
    Node: process.versions.node,
    workerd,
  };
}
