import type { Command } from "commander";
import { FingerpostError, type Violation } from "../../kernel/errors.ts";
import { systemClock } from "../../kernel/clock.ts";
import { systemRandom } from "../../kernel/random.ts";
import { parseListenAddress } from "../../node/listen.ts";
import { createLog, type LogLevel } from "../../node/log.ts";
import { shutdownSignal } from "../../node/shutdown.ts";
import { environmentOf, type Judge } from "../config/load.ts";
import { addSettings, readSettings } from "../config/options.ts";
import { warnOfUnread } from "../config/unread.ts";
import { text } from "../config/values.ts";
import { untilShutdown } from "../run.ts";

export function addResolver(program: Command): void {
  const command = program.command("resolver").description("Answer lookups on Node, as the Worker does on Cloudflare.");
  addSettings(command, "resolver");
  command.action(async () => {
    const { parseEnv } = await import("../../src/env.ts");
    // The same reader of settings as in the Worker.
    const judge: Judge = (values) => violationsOf(() => parseEnv(environmentOf("resolver", values)));
    const values = readSettings(command, "resolver", { judge });
    const log = createLog("resolver", text(values, "log_level") as LogLevel);
    warnOfUnread(log);
    const signal = shutdownSignal();
    const { runResolver } = await import("../../src/node.ts");
    const config = {
      listen: parseListenAddress(text(values, "resolver.listen")),
      env: environmentOf("resolver", values),
    };
    await untilShutdown(log, signal, () => runResolver(config, { log, clock: systemClock, random: systemRandom }));
  });
}

function violationsOf(read: () => unknown): readonly Violation[] {
  try {
    read();
    return [];
  } catch (error) {
    if (!(error instanceof FingerpostError)) throw error;
    return error.violations;
  }
}
