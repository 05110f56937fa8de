import type { Command } from "commander";
import { call } from "../http.ts";
import { addRegistrarTarget } from "../target.ts";

export function addStatus(program: Command): void {
  const command = program
    .command("status")
    .description("Show how a registrar is, as JSON; the exit code is 1 while it is not ready.");
  addRegistrarTarget(command);
  command.action(async ({ registrar }: { readonly registrar: string }) => {
    const asked = { target: "registrar", url: registrar } as const;
    const status = await call(asked, "/v1/status");
    console.log(JSON.stringify(status, undefined, 2));
    await call(asked, "/readyz");
  });
}
