import { existsSync } from "node:fs";
import type { Command } from "commander";
import { systemClock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import { systemRandom } from "../../kernel/random.ts";
import { isLoopback, parseListenAddress } from "../../node/listen.ts";
import { createLog, type LogLevel } from "../../node/log.ts";
import { shutdownSignal } from "../../node/shutdown.ts";
import { keepYoungGenerationSmall } from "../../node/young-generation.ts";
import { checkStateDirectory } from "../../registrar/agent/state/directory.ts";
import type { RegistrarConfig } from "../../registrar/run.ts";
import { CONFIG_FILE_DEFAULT, refuse, type ConfigValues } from "../config/load.ts";
import { addSettings, readSettings } from "../config/options.ts";
import { readEtcdFiles, readPem } from "../config/pem.ts";
import { warnOfUnread } from "../config/unread.ts";
import { flag, list, number, numberOrUndefined, text, textOrUndefined } from "../config/values.ts";
import { untilShutdown } from "../run.ts";
import { readServices, reloadOnHangUp } from "./registrar-reload.ts";

export function addRegistrar(program: Command): void {
  const command = program
    .command("registrar")
    .description("Register instances in etcd, keep their leases, and publish snapshots to Redis.");
  addSettings(command, "registrar");
  command.action(async () => {
    // A file that is missing later is being replaced, or lost: it does not say that nothing is to be registered.
    const hasFile = existsSync(CONFIG_FILE_DEFAULT);
    const values = readSettings(command, "registrar");
    const config = registrarConfig(values);
    const log = createLog("registrar", text(values, "log_level") as LogLevel);
    warnOfUnread(log);
    const signal = shutdownSignal();
    // A publisher of 100,000 instances takes 320 MB so, and 450 MB otherwise (npm run bench:registrar -- --only start).
    if (config.role !== "agent") keepYoungGenerationSmall();
    const { runRegistrar } = await import("../../registrar/run.ts");
    const setRegistrar = reloadOnHangUp(log, values, () =>
      readSettings(command, "registrar", { fileRequired: hasFile }),
    );
    await untilShutdown(log, signal, async () => {
      const registrar = await runRegistrar(config, { log, signal, clock: systemClock, random: systemRandom });
      setRegistrar(registrar);
      return registrar;
    });
  });
}

function registrarConfig(values: ConfigValues): RegistrarConfig {
  const problems: string[] = [];
  const listen = parseListenAddress(text(values, "registrar.listen"));
  const token = textOrUndefined(values, "registrar.token");
  const role = text(values, "registrar.role") as RegistrarConfig["role"];
  const username = textOrUndefined(values, "etcd.username");
  const password = textOrUndefined(values, "etcd.password");
  const cert = textOrUndefined(values, "etcd.cert");
  const key = textOrUndefined(values, "etcd.key");

  if (token === undefined && !isLoopback(listen.host)) {
    problems.push(`FINGERPOST_TOKEN: is required to listen on ${listen.host}, which others can reach`);
  }
  if ((username === undefined) !== (password === undefined)) {
    problems.push("FINGERPOST_ETCD_USERNAME and FINGERPOST_ETCD_PASSWORD: set both or neither");
  }
  if ((cert === undefined) !== (key === undefined)) {
    problems.push("FINGERPOST_ETCD_CERT and FINGERPOST_ETCD_KEY: set both or neither");
  }
  if (role !== "agent" && list(values, "signing.public_keys").length > 0 && !textOrUndefined(values, "signing.key")) {
    // It would not believe its own documents, nor would any resolver with these keys.
    problems.push("FINGERPOST_SIGNING_KEY: is required beside FINGERPOST_PUBLIC_KEYS, unless the role is agent");
  }
  const redis = redisConfig(values, role, problems);
  const files = readEtcdFiles(values, problems);
  const services = readServices(values, problems);
  const checkCa = readPem(values, "registrar.check_ca", problems);
  const stateDir = textOrUndefined(values, "registrar.state_dir");
  if (stateDir !== undefined && role !== "publisher") {
    try {
      checkStateDirectory(stateDir);
    } catch (error) {
      problems.push(`registrar.state_dir: ${messageOf(error)}`);
    }
  }
  if (problems.length > 0) refuse(...problems);
  return {
    etcd: { endpoints: list(values, "etcd.endpoints"), username, password, ...files },
    redis,
    listen,
    token,
    role,
    namespace: text(values, "namespace"),
    leaseTtlSeconds: number(values, "registrar.lease_ttl_seconds"),
    auditIntervalSeconds: number(values, "registrar.audit_interval_seconds"),
    drainSeconds: number(values, "registrar.drain_seconds"),
    downSeconds: numberOrUndefined(values, "registrar.down_seconds"),
    checkConcurrency: number(values, "registrar.check_concurrency"),
    checkCa,
    stateDir,
    signingKey: textOrUndefined(values, "signing.key"),
    publicKeys: list(values, "signing.public_keys"),
    adopt: flag(values, "registrar.adopt"),
    leave: flag(values, "registrar.leave"),
    services,
    guard: {
      windowSeconds: number(values, "guard.window_seconds"),
      servicePercent: number(values, "guard.service_percent"),
      catalogPercent: number(values, "guard.catalog_percent"),
      holdSeconds: number(values, "guard.hold_seconds"),
      probeSeconds: number(values, "guard.probe_seconds"),
    },
  };
}

function redisConfig(values: ConfigValues, role: string, problems: string[]): RegistrarConfig["redis"] {
  const direct = textOrUndefined(values, "redis.url");
  const url = textOrUndefined(values, "redis.rest_url");
  const token = textOrUndefined(values, "redis.rest_token");
  if (role === "agent") return undefined;
  if (direct !== undefined && url !== undefined) {
    problems.push("FINGERPOST_REDIS_URL and UPSTASH_REDIS_REST_URL: set one, not both");
  } else if (direct !== undefined) {
    return { type: "direct", url: direct };
  } else if (url !== undefined && token !== undefined) {
    return { type: "upstash", url, token };
  } else if (url !== undefined) {
    problems.push("UPSTASH_REDIS_REST_TOKEN: is required beside UPSTASH_REDIS_REST_URL");
  } else {
    problems.push("UPSTASH_REDIS_REST_URL (with UPSTASH_REDIS_REST_TOKEN) or FINGERPOST_REDIS_URL: one is required");
  }
  return undefined;
}
