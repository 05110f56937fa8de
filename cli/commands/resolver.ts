import type { Command } from "commander";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { parseListenAddress } from "../../node/listen.ts";
import { createLog, type LogLevel } from "../../node/log.ts";
import { shutdownSignal } from "../../node/shutdown.ts";
import { refuse } from "../config/load.ts";
import { addSettings, readSettings } from "../config/options.ts";
import { flag, list, number, text, textOrUndefined } from "../config/values.ts";
import { untilShutdown } from "../run.ts";

export function addResolver(program: Command): void {
  const command = program.command("resolver").description("Answer lookups on Node, as the Worker does on Cloudflare.");
  addSettings(command, "resolver");
  command.action(async () => {
    const values = readSettings(command, "resolver");
    const url = textOrUndefined(values, "redis.rest_url");
    const token = textOrUndefined(values, "redis.rest_token");
    const keys = list(values, "resolver.keys");
    const open = flag(values, "resolver.open");
    const problems: string[] = [];
    if (keys.length === 0 && !open) {
      problems.push("FINGERPOST_KEYS: is required, or --open to answer everybody without a key");
    }
    if (keys.length > 0 && open) problems.push("FINGERPOST_KEYS and --open: set one, not both");
    if (url === undefined) problems.push("UPSTASH_REDIS_REST_URL: is required");
    if (token === undefined) problems.push("UPSTASH_REDIS_REST_TOKEN: is required; the read-only one is enough");
    if (number(values, "resolver.swr_ms") < number(values, "resolver.fresh_ms")) {
      problems.push("FINGERPOST_SWR_MS: must be at least FINGERPOST_FRESH_MS");
    }
    if (problems.length > 0 || url === undefined || token === undefined) refuse(...problems);
    const log = createLog("resolver", text(values, "log_level") as LogLevel);
    const signal = shutdownSignal();
    const { runResolver } = await import("../../src/node.ts");
    const config = {
      listen: parseListenAddress(text(values, "resolver.listen")),
      redisRestUrl: url,
      redisRestToken: token,
      keys,
      open,
      namespaces: list(values, "resolver.namespaces"),
      freshMs: number(values, "resolver.fresh_ms"),
      swrMs: number(values, "resolver.swr_ms"),
      budgetMs: number(values, "resolver.budget_ms"),
      coldBudgetMs: number(values, "resolver.cold_budget_ms"),
    };
    await untilShutdown(log, signal, () => runResolver(config, { log, clock: systemClock, random: systemRandom }));
  });
}
