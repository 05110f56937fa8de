import type { Command } from "commander";

interface DevOptions {
  readonly json?: true;
  readonly demo: boolean;
  readonly stay?: true;
}

export function addDev(program: Command): void {
  program
    .command("dev")
    .description("Run everything on this machine: etcd, Redis, gateway, registrar, resolver and three demo services.")
    .option("--json", "print one line of JSON on standard output when everything is ready")
    .option("--no-demo", "leave the demo services out")
    .option("--stay", "keep running when the process that started this one ends")
    .action(async (options: DevOptions) => {
      // Loaded here alone: it needs wrangler and miniflare, which a registrar in production does without.
      const { runDev } = await import("../../dev/run.ts");
      await runDev({ json: options.json ?? false, demo: options.demo, stay: options.stay ?? false });
    });
}
