import { FRESHNESS_DEFAULT, WATCHERS_MAX_DEFAULT } from "../../src/options.ts";
import { flagged, number, text, textList } from "./rules.ts";
import type { Setting } from "./setting.ts";

/**
 * What the resolver reads besides Redis' address. The rules here are those of a kind alone: what the values must be is
 * said by src/env.ts, which reads the same variables on a Worker.
 */
export const resolverSettings: readonly Setting[] = [
  {
    path: "resolver.keys",
    env: "FINGERPOST_KEYS",
    kind: "list",
    schema: textList,
    help: "who may ask: name=sha256 of each bearer key, separated by commas; with scopes name=sha256@namespace/service+…",
    processes: ["resolver"],
  },
  {
    path: "resolver.jwks_url",
    env: "FINGERPOST_JWKS_URL",
    flag: "--jwks-url <url>",
    kind: "text",
    schema: text,
    help: "URL of the public keys (JWKS) that JWTs are verified by",
    processes: ["resolver"],
  },
  {
    path: "resolver.jwt_issuer",
    env: "FINGERPOST_JWT_ISSUER",
    flag: "--jwt-issuer <name>",
    kind: "text",
    schema: text,
    help: "iss of the JWTs that are taken",
    processes: ["resolver"],
  },
  {
    path: "resolver.jwt_audience",
    env: "FINGERPOST_JWT_AUDIENCE",
    flag: "--jwt-audience <name>",
    kind: "text",
    schema: text,
    help: "aud of the JWTs that are taken",
    processes: ["resolver"],
  },
  {
    path: "resolver.rate_limit",
    env: "FINGERPOST_RATE_LIMIT",
    flag: "--rate-limit <n>",
    kind: "number",
    schema: number,
    help: "requests a second of one caller; unlimited if left out",
    processes: ["resolver"],
  },
  {
    path: "resolver.cors_origins",
    env: "FINGERPOST_CORS_ORIGINS",
    flag: "--cors-origins <origins>",
    kind: "list",
    schema: textList,
    help: "origins whose pages may read answers, separated by commas; none if left out",
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
    schema: textList,
    help: "namespaces that are served; the first is the default (default: default)",
    processes: ["resolver"],
  },
  {
    path: "resolver.near",
    env: "FINGERPOST_NEAR",
    flag: "--near <rules>",
    kind: "list",
    schema: textList,
    help: "what near=auto takes for near, such as FRA=eu-central-1/eu-central-1a,DE=eu-central-1,EU=eu-west-1",
    processes: ["resolver"],
  },
  {
    path: "resolver.watchers_max",
    env: "FINGERPOST_WATCHERS_MAX",
    flag: "--watchers-max <n>",
    kind: "number",
    schema: number,
    help: `streams and long polls at once, three quarters of them of one caller (default: ${WATCHERS_MAX_DEFAULT})`,
    processes: ["resolver"],
  },
  ...(
    [
      ["fresh_ms", "freshMs", "age up to which what is held is served as it is"],
      ["swr_ms", "swrMs", "age up to which what is held is served while it is refreshed behind"],
      ["budget_ms", "budgetMs", "how long a lookup waits for Redis before last-known-good"],
      ["cold_budget_ms", "coldBudgetMs", "how long a lookup waits for Redis with nothing known yet"],
    ] as const
  ).map(([key, name, help]): Setting => ({
    path: `resolver.${key}`,
    env: `FINGERPOST_${key.toUpperCase()}`,
    flag: `--${key.replaceAll("_", "-")} <ms>`,
    kind: "number",
    schema: number,
    help: `${help} (default: ${FRESHNESS_DEFAULT[name]})`,
    processes: ["resolver"],
  })),
];
