import * as v from "valibot";
import { nameSchema } from "../../contract/names.ts";
import { LOG_LEVELS } from "../../node/log.ts";
import { GUARD_DEFAULT as G } from "../../registrar/publisher/guard/limits.ts";
import { bearer, flagged, httpUrl, keyList, listenAddress, redisUrl, secureUrl, text, whole } from "./rules.ts";

/** The processes and commands that read fingerpost.toml. */
export type ProcessName = "registrar" | "gateway" | "resolver" | "etcd-setup";

/**
 * One setting: where it stands in fingerpost.toml (`section.key`, or a bare key at the top), the environment variable
 * and the flag that override it, and the rule it obeys. A secret has no flag, since arguments show in process lists,
 * and can be given by file: the variable with `_FILE` appended.
 */
export interface Setting {
  readonly path: string;
  /** Absent of `tables`, which no variable can hold. */
  readonly env?: string;
  readonly flag?: string;
  readonly kind: "text" | "list" | "number" | "boolean" | "tables";
  readonly schema: v.GenericSchema;
  readonly default?: string | number | boolean | readonly string[];
  readonly help: string;
  readonly secret?: true;
  readonly processes: readonly ProcessName[];
}

const all: readonly ProcessName[] = ["registrar", "gateway", "resolver"];

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
  {
    path: "registrar.role",
    env: "FINGERPOST_ROLE",
    flag: "--role <role>",
    kind: "text",
    schema: v.picklist(["both", "agent", "publisher"], "must be both, agent or publisher"),
    default: "both",
    help: "agent registers instances, publisher follows etcd and publishes to Redis",
    processes: ["registrar", "etcd-setup"],
  },
  {
    path: "registrar.lease_ttl_seconds",
    env: "FINGERPOST_LEASE_TTL_SECONDS",
    flag: "--lease-ttl-seconds <n>",
    kind: "number",
    schema: whole(5, 3600, "seconds"),
    default: 30,
    help: "how long etcd keeps an agent's instances after the agent died",
    processes: ["registrar"],
  },
  {
    path: "registrar.audit_interval_seconds",
    env: "FINGERPOST_AUDIT_INTERVAL_SECONDS",
    flag: "--audit-interval-seconds <n>",
    kind: "number",
    schema: whole(1, 86_400, "seconds"),
    default: 300,
    help: "how often the publisher compares Redis and etcd with what it holds, and mends what differs",
    processes: ["registrar"],
  },
  {
    path: "registrar.drain_seconds",
    env: "FINGERPOST_DRAIN_SECONDS",
    flag: "--drain-seconds <n>",
    kind: "number",
    schema: whole(1, 3600, "seconds"),
    default: 30,
    help: "how long a draining instance stays before it is removed",
    processes: ["registrar"],
  },
  {
    path: "registrar.down_seconds",
    env: "FINGERPOST_DOWN_SECONDS",
    flag: "--down-seconds <n>",
    kind: "number",
    schema: whole(1, 86_400, "seconds"),
    help: "how long an instance without heartbeats stays as down before it is removed; left out, ttlSeconds of the instance, 10 at least",
    processes: ["registrar"],
  },
  {
    path: "registrar.check_concurrency",
    env: "FINGERPOST_CHECK_CONCURRENCY",
    flag: "--check-concurrency <n>",
    kind: "number",
    schema: whole(1, 4096, "checks"),
    default: 256,
    help: "health checks under way at a time, each on one connection",
    processes: ["registrar"],
  },
  {
    path: "registrar.check_ca",
    env: "FINGERPOST_CHECK_CA",
    flag: "--check-ca <file>",
    kind: "text",
    schema: text,
    help: "PEM file of the authorities that health checks over TLS trust; left out, those of the system",
    processes: ["registrar"],
  },
  {
    path: "registrar.state_dir",
    env: "FINGERPOST_STATE_DIR",
    flag: "--state-dir <folder>",
    kind: "text",
    schema: text,
    help: "where registrations outlive a restart, of this registrar only; left out, every service registers again",
    processes: ["registrar"],
  },
  {
    path: "registrar.adopt",
    env: "FINGERPOST_ADOPT",
    flag: "--adopt",
    kind: "boolean",
    schema: flagged,
    default: false,
    help: "take over a Redis that another etcd's publisher still keeps alive",
    processes: ["registrar"],
  },
  {
    path: "registrar.leave",
    env: "FINGERPOST_LEAVE",
    flag: "--leave",
    kind: "boolean",
    schema: flagged,
    default: false,
    help: "deregister every instance on the way out, instead of leaving them to the next start",
    processes: ["registrar"],
  },
  ...(
    [
      [
        "window_seconds",
        1,
        3600,
        "seconds",
        G.windowSeconds,
        "instances that depart unplanned within this are judged together",
      ],
      [
        "service_percent",
        1,
        100,
        "percent",
        G.servicePercent,
        "of a service, how much may depart unplanned in the window",
      ],
      [
        "catalog_percent",
        1,
        100,
        "percent",
        G.catalogPercent,
        "of a namespace, how much may depart unplanned in the window",
      ],
      [
        "hold_seconds",
        10,
        86_400,
        "seconds",
        G.holdSeconds,
        "longest that an instance past these is held back and served",
      ],
      ["probe_seconds", 0, 600, "seconds", G.probeSeconds, "how often held instances are tried by TCP; 0 for never"],
    ] as const
  ).map(([key, least, most, unit, value, help]): Setting => ({
    path: `guard.${key}`,
    env: `FINGERPOST_GUARD_${key.toUpperCase()}`,
    flag: `--guard-${key.replaceAll("_", "-")} <n>`,
    kind: "number",
    schema: whole(least, most, unit),
    default: value,
    help,
    processes: ["registrar"],
  })),
  {
    path: "registrar.services",
    kind: "tables",
    // Each table obeys the rules of a registration, which say more of where they are broken.
    schema: v.array(v.unknown(), "must be tables, [[registrar.services]]"),
    default: [],
    help: "[[registrar.services]]: instances to register, with the fields of a PUT, service and namespace; read again on SIGHUP",
    processes: ["registrar"],
  },
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
  {
    path: "resolver.keys",
    env: "FINGERPOST_KEYS",
    kind: "list",
    schema: keyList,
    default: [],
    help: "who may ask: name=sha256 of each bearer key, separated by commas",
    processes: ["resolver"],
  },
  {
    path: "resolver.open",
    env: "FINGERPOST_OPEN",
    flag: "--open",
    kind: "boolean",
    schema: flagged,
    default: false,
    help: "answer without a key",
    processes: ["resolver"],
  },
  {
    path: "resolver.namespaces",
    env: "FINGERPOST_NAMESPACES",
    flag: "--namespaces <names>",
    kind: "list",
    schema: v.pipe(
      v.array(nameSchema, "must be an array of names"),
      v.minLength(1, "must name at least one namespace"),
      v.maxLength(100, "must name at most 100 namespaces"),
    ),
    default: ["default"],
    help: "namespaces that are served; the first is the default",
    processes: ["resolver"],
  },
  ...(
    [
      ["fresh_ms", "FINGERPOST_FRESH_MS", 1000, "age up to which what is held is served as it is"],
      ["swr_ms", "FINGERPOST_SWR_MS", 2000, "age up to which what is held is served while it is refreshed behind"],
      ["budget_ms", "FINGERPOST_BUDGET_MS", 250, "how long a lookup waits for Redis before last-known-good"],
      ["cold_budget_ms", "FINGERPOST_COLD_BUDGET_MS", 2000, "how long a lookup waits for Redis with nothing known yet"],
    ] as const
  ).map(([key, env, value, help]): Setting => ({
    path: `resolver.${key}`,
    env,
    flag: `--${key.replaceAll("_", "-")} <ms>`,
    kind: "number",
    schema: whole(10, 60_000, "milliseconds"),
    default: value,
    help,
    processes: ["resolver"],
  })),
];

export function settingsOf(process: ProcessName): readonly Setting[] {
  return settings.filter((setting) => setting.processes.includes(process));
}
