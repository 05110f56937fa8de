import * as v from "valibot";
import { nameSchema } from "../../contract/names.ts";
import { LOG_LEVELS } from "../../node/log.ts";
import { registrarSettings } from "./registrar-settings.ts";
import { resolverSettings } from "./resolver-settings.ts";
import { bearer, httpUrl, listenAddress, redisUrl, secureUrl, text, whole } from "./rules.ts";
import type { ProcessName, Setting } from "./setting.ts";

const all: readonly ProcessName[] = ["registrar", "gateway", "resolver"];

/** All of them, in the order in which help lists them. */
export const settings: readonly Setting[] = [
  {
    path: "namespace",
    env: "FINGERPOST_NAMESPACE",
    flag: "--namespace <name>",
    kind: "text",
    schema: nameSchema,
    default: "default",
    help: "namespace of requests that name none",
    processes: ["registrar", "etcd-setup"],
  },
  {
    path: "log_level",
    env: "FINGERPOST_LOG_LEVEL",
    flag: "--log-level <level>",
    kind: "text",
    schema: v.picklist(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(", ")}`),
    default: "info",
    help: "least level that is logged",
    processes: all,
  },
  {
    path: "etcd.endpoints",
    env: "FINGERPOST_ETCD_ENDPOINTS",
    flag: "--etcd-endpoints <urls>",
    kind: "list",
    schema: v.pipe(
      v.array(httpUrl, "must be an array of URLs"),
      v.minLength(1, "must name at least one URL"),
      v.maxLength(32, "must name at most 32 URLs"),
    ),
    default: ["http://127.0.0.1:2379"],
    help: "etcd members, separated by commas; one is used at a time",
    processes: ["registrar", "etcd-setup"],
  },
  {
    path: "etcd.username",
    env: "FINGERPOST_ETCD_USERNAME",
    flag: "--etcd-username <name>",
    kind: "text",
    schema: text,
    help: "etcd user; left out, etcd is used without authentication or with a client certificate",
    processes: ["registrar", "etcd-setup"],
  },
  {
    path: "etcd.password",
    env: "FINGERPOST_ETCD_PASSWORD",
    kind: "text",
    schema: text,
    help: "password of the etcd user",
    secret: true,
    processes: ["registrar", "etcd-setup"],
  },
  {
    path: "etcd.ca",
    env: "FINGERPOST_ETCD_CA",
    flag: "--etcd-ca <file>",
    kind: "text",
    schema: text,
    help: "PEM file of the authority that signed etcd's certificate",
    processes: ["registrar", "etcd-setup"],
  },
  {
    path: "etcd.cert",
    env: "FINGERPOST_ETCD_CERT",
    flag: "--etcd-cert <file>",
    kind: "text",
    schema: text,
    help: "PEM file of the client certificate: needs no password and costs etcd no bcrypt",
    processes: ["registrar", "etcd-setup"],
  },
  {
    path: "etcd.key",
    env: "FINGERPOST_ETCD_KEY",
    flag: "--etcd-key <file>",
    kind: "text",
    schema: text,
    help: "PEM file of the private key of the client certificate",
    processes: ["registrar", "etcd-setup"],
  },
  {
    path: "etcd.root_username",
    env: "FINGERPOST_ETCD_ROOT_USERNAME",
    flag: "--root-username <name>",
    kind: "text",
    schema: text,
    default: "root",
    help: "etcd user of the role root, who makes the others",
    processes: ["etcd-setup"],
  },
  {
    path: "etcd.root_password",
    env: "FINGERPOST_ETCD_ROOT_PASSWORD",
    kind: "text",
    schema: text,
    help: "password of FINGERPOST_ETCD_ROOT_USERNAME; not needed where root comes with a client certificate",
    secret: true,
    processes: ["etcd-setup"],
  },
  {
    path: "redis.rest_url",
    env: "UPSTASH_REDIS_REST_URL",
    flag: "--redis-rest-url <url>",
    kind: "text",
    schema: secureUrl,
    help: "Upstash's REST URL, or that of a fingerpost gateway",
    processes: ["registrar", "resolver"],
  },
  {
    path: "redis.rest_token",
    env: "UPSTASH_REDIS_REST_TOKEN",
    kind: "text",
    schema: text,
    help: "token of UPSTASH_REDIS_REST_URL; a resolver needs no more than the read-only one",
    secret: true,
    processes: ["registrar", "resolver"],
  },
  {
    path: "redis.url",
    env: "FINGERPOST_REDIS_URL",
    kind: "text",
    schema: redisUrl,
    help: "redis://user:password@host:port of a direct connection to Redis",
    secret: true,
    processes: ["registrar", "gateway"],
  },
  {
    path: "redis.read_only_url",
    env: "FINGERPOST_REDIS_READ_ONLY_URL",
    kind: "text",
    schema: redisUrl,
    help: "redis://user:password@host:port of a Redis user that may only read",
    secret: true,
    processes: ["gateway"],
  },
  ...(["registrar", "gateway", "resolver"] as const).map((process, index): Setting => ({
    path: `${process}.listen`,
    env: "FINGERPOST_LISTEN",
    flag: "--listen <host:port>",
    kind: "text",
    schema: listenAddress,
    default: `127.0.0.1:${[7070, 7071, 8787][index]}`,
    help: "address to listen on",
    processes: [process],
  })),
  ...(["registrar", "gateway"] as const).map((process): Setting => ({
    path: `${process}.token`,
    env: "FINGERPOST_TOKEN",
    kind: "text",
    schema: bearer,
    help:
      process === "gateway"
        ? "bearer token that may read and write"
        : "bearer token callers must send; required unless listening on loopback",
    secret: true,
    processes: [process],
  })),
  ...registrarSettings,
  {
    path: "gateway.read_only_token",
    env: "FINGERPOST_READ_ONLY_TOKEN",
    kind: "text",
    schema: bearer,
    help: "bearer token that may only read",
    secret: true,
    processes: ["gateway"],
  },
  {
    path: "gateway.pool_size",
    env: "FINGERPOST_POOL_SIZE",
    flag: "--pool-size <n>",
    kind: "number",
    schema: whole(1, 64, "connections"),
    default: 4,
    help: "connections to Redis",
    processes: ["gateway"],
  },
  ...resolverSettings,
];

export function settingsOf(process: ProcessName): readonly Setting[] {
  return settings.filter((setting) => setting.processes.includes(process));
}
