import { join } from "node:path";
import { provideEtcd, provideRedis } from "./binaries.ts";
import { claimPort, sayWhySlow, startPart, type Context } from "./context.ts";
import { enableAuth, startEtcd, type Credentials } from "./etcd.ts";
import type { Environment } from "./external.ts";
import { startHttpPart } from "./http-part.ts";
import { newPassword } from "./password.ts";
import { newRedisUsers, redisUrl, startRedis } from "./redis.ts";
import type { Part } from "./supervisor.ts";

const ETCD_PORT = 2379;
const ETCD_PEER_PORT = 2380;
const REDIS_PORT = 6379;
const GATEWAY_PORT = 7071;

/** `undefined`: it is not ours. */
export interface EtcdStore {
  readonly url: string;
  readonly root: Credentials | undefined;
  readonly part: Part | undefined;
  /** The registrar's variables. */
  readonly environment: Environment;
}

/** A Redis as Upstash's protocol shows it. */
export interface RestStore {
  readonly url: string;
  readonly token: string;
  readonly readOnlyToken: string;
  /** Ours alone. */
  readonly own: { readonly redisUrl: string; readonly redis: Part; readonly gateway: Part } | undefined;
}

/** The etcd that the environment names, or one of our own with authentication on. */
export async function provideEtcdStore(context: Context): Promise<EtcdStore> {
  const { external, runDir, clock, say } = context;
  if (external.etcd) {
    const url = external.etcd.FINGERPOST_ETCD_ENDPOINTS.split(",")[0]?.trim() ?? "";
    say(`etcd is the one at ${url}, as FINGERPOST_ETCD_ENDPOINTS says`);
    return { url, root: undefined, part: undefined, environment: external.etcd };
  }
  const binary = await provideEtcd({ ...context, progress: say });
  const clientPort = await claimPort(context, "etcd", ETCD_PORT);
  const peerPort = await claimPort(context, "etcd between its members", ETCD_PEER_PORT);
  const dir = join(runDir, "etcd");
  const url = `http://127.0.0.1:${clientPort}`;
  const part = await startPart(context, "etcd", async (stop) => {
    const onSlow = sayWhySlow(context, "etcd");
    const server = await startEtcd({ binary, dir, clientPort, peerPort, clock, signal: stop, onSlow });
    return server.child;
  });
  const { root, user } = await enableAuth(url, clock);
  say(`etcd runs at ${url} with authentication on, pid ${part.pid}`);
  const environment = {
    FINGERPOST_ETCD_ENDPOINTS: url,
    FINGERPOST_ETCD_USERNAME: user.username,
    FINGERPOST_ETCD_PASSWORD: user.password,
  };
  return { url, root, part, environment };
}

/** What UPSTASH_REDIS_REST_URL names, or a Redis of our own and the gateway in front of it. */
export async function provideRestStore(context: Context): Promise<RestStore> {
  const { external, runDir, clock, say } = context;
  if (external.redis) {
    const { url, token } = external.redis;
    say(`Redis is the one at ${url}, as UPSTASH_REDIS_REST_URL says`);
    return { url, token, readOnlyToken: token, own: undefined };
  }
  const { server } = await provideRedis({ ...context, progress: say });
  const redisPort = await claimPort(context, "Redis", REDIS_PORT);
  const users = newRedisUsers();
  const redis = await startPart(context, "redis", (stop) =>
    startRedis({
      binary: server,
      dir: join(runDir, "redis"),
      port: redisPort,
      users,
      clock,
      signal: stop,
      onSlow: sayWhySlow(context, "Redis"),
    }),
  );
  say(`Redis runs at 127.0.0.1:${redisPort}, pid ${redis.pid}`);

  const port = await claimPort(context, "the gateway", GATEWAY_PORT);
  const url = `http://127.0.0.1:${port}`;
  const token = newPassword();
  const readOnlyToken = newPassword();
  const env = {
    FINGERPOST_LISTEN: `127.0.0.1:${port}`,
    FINGERPOST_TOKEN: token,
    FINGERPOST_READ_ONLY_TOKEN: readOnlyToken,
    FINGERPOST_REDIS_URL: redisUrl(redisPort, users.readWrite),
    FINGERPOST_REDIS_READ_ONLY_URL: redisUrl(redisPort, users.readOnly),
  };
  const gateway = await startPart(context, "gateway", (stop) =>
    startHttpPart({
      name: "gateway",
      module: "../cli/main.ts",
      args: ["gateway"],
      env,
      runDir,
      url,
      clock,
      signal: stop,
      onSlow: sayWhySlow(context, "the gateway"),
    }),
  );
  say(`the gateway runs at ${url}, pid ${gateway.pid}`);
  return { url, token, readOnlyToken, own: { redisUrl: redisUrl(redisPort, users.admin), redis, gateway } };
}
