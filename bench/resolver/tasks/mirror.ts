import { createClient } from "@redis/client";
import { Etcd3 } from "etcd3";
import { serviceKey } from "../../../contract/redis-keys.ts";
import { serveTask } from "../../support/task-process.ts";

export interface MirrorInput {
  readonly endpoint: string;
  readonly username: string;
  readonly password: string;
  /** Of the namespace. */
  readonly prefix: string;
  readonly redisUrl: string;
}

/** The least there is: a watch of etcd3's, and a SET of the service's key for each event. One instance a service. */
async function start(input: MirrorInput): Promise<void> {
  const { endpoint, username, password, prefix, redisUrl } = input;
  const redis = await createClient({ url: redisUrl, RESP: 2 }).on("error", fail).connect();
  const client = new Etcd3({ hosts: endpoint, auth: { username, password } });
  const set = (key: string, value: string) => {
    const [service = ""] = key.slice(prefix.length).split("/");
    return redis.set(serviceKey("default", service), value);
  };
  const watcher = await client.watch().prefix(prefix).create();
  watcher.on("put", ({ key, value }) => void set(key.toString(), value.toString()).catch(fail));
  watcher.on("error", fail);
  for (const [key, value] of Object.entries(await client.getAll().prefix(prefix).strings())) await set(key, value);
}

function fail(error: unknown): never {
  throw error;
}

serveTask({ start });
