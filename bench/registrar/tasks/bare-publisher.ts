import { createClient } from "@redis/client";
import { Etcd3 } from "etcd3";
import { serveTask } from "../../support/task-process.ts";

/** Of what it writes: the run is shorter, and nobody else removes it. */
const EXPIRE_SECONDS = 120;

export interface BarePublisherInput {
  readonly endpoint: string;
  readonly username: string;
  readonly password: string;
  readonly prefix: string;
  readonly redisUrl: string;
  readonly keyPrefix: string;
}

/** The least there is: a watch of etcd3's, and a SET for each event, under a key that tells the revision. */
async function start(input: BarePublisherInput): Promise<void> {
  const { endpoint, username, password, prefix, redisUrl, keyPrefix } = input;
  const redis = await createClient({ url: redisUrl, RESP: 2 }).on("error", fail).connect();
  const client = new Etcd3({ hosts: endpoint, auth: { username, password } });
  const watcher = await client.watch().prefix(prefix).create();
  const set = (revision: string, value: Buffer | undefined) => {
    const options = { expiration: { type: "EX", value: EXPIRE_SECONDS } } as const;
    redis.set(`${keyPrefix}${revision}`, value ?? "", options).catch(fail);
  };
  watcher.on("put", ({ mod_revision, value }) => set(mod_revision, value));
  watcher.on("delete", ({ mod_revision }) => set(mod_revision, undefined));
  watcher.on("error", fail);
}

function fail(error: unknown): never {
  throw error;
}

serveTask({ start });
