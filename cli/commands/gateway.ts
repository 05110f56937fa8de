import type { Command } from "commander";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { parseListenAddress } from "../../node/listen.ts";
import { createLog, type LogLevel } from "../../node/log.ts";
import { shutdownSignal } from "../../node/shutdown.ts";
import { refuse } from "../config/load.ts";
import { addSettings, readSettings } from "../config/options.ts";
import { warnOfUnread } from "../config/unread.ts";
import { number, text, textOrUndefined } from "../config/values.ts";
import { untilShutdown } from "../run.ts";

export function addGateway(program: Command): void {
  const command = program
    .command("gateway")
    .description("Speak Upstash's REST protocol in front of a Redis or Valkey of your own.");
  addSettings(command, "gateway");
  command.action(async () => {
    const values = readSettings(command, "gateway");
    const token = textOrUndefined(values, "gateway.token");
    const redisUrl = textOrUndefined(values, "redis.url");
    if (token === undefined || redisUrl === undefined) {
      refuse(
        ...(token === undefined ? ["FINGERPOST_TOKEN: is required; try: openssl rand -hex 32"] : []),
        ...(redisUrl === undefined ? ["FINGERPOST_REDIS_URL: is required, such as redis://127.0.0.1:6379"] : []),
      );
    }
    const log = createLog("gateway", text(values, "log_level") as LogLevel);
    warnOfUnread(log);
    const signal = shutdownSignal();
    const { runGateway } = await import("../../gateway/run.ts");
    const config = {
      listen: parseListenAddress(text(values, "gateway.listen")),
      token,
      readOnlyToken: textOrUndefined(values, "gateway.read_only_token"),
      redisUrl,
      readOnlyRedisUrl: textOrUndefined(values, "redis.read_only_url"),
      poolSize: number(values, "gateway.pool_size"),
    };
    await untilShutdown(log, signal, () =>
      runGateway(config, { log, signal, clock: systemClock, random: systemRandom }),
    );
  });
}
