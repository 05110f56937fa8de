import { createClient } from "@redis/client";
import { Etcd3 } from "etcd3";
import { ELECTION_PREFIX } from "../../../contract/etcd-keys.ts";
import { serveTask } from "../../support/task-process.ts";

export interface ElectionInput {
  readonly endpoint: string;
  readonly username: string;
  readonly password: string;
  readonly redisUrl: string;
  readonly redisKey: string;
  readonly ttlSeconds: number;
}

/** An election of etcd3's; whoever wins it writes its process id to Redis. Resolves when it takes part. */
async function campaign(input: ElectionInput): Promise<void> {
  const { endpoint, username, password, redisUrl, redisKey, ttlSeconds } = input;
  const redis = await createClient({ url: redisUrl, RESP: 2 }).on("error", fail).connect();
  const client = new Etcd3({ hosts: endpoint, auth: { username, password } });
  const entry = client.namespace(ELECTION_PREFIX).election("bare", ttlSeconds).campaign(String(process.pid));
  entry.on("error", fail);
  entry.on("elected", () => {
    redis.set(redisKey, String(process.pid)).catch(fail);
  });
  await entry.getCampaignKey();
}

function fail(error: unknown): never {
  throw error;
}

serveTask({ campaign });
