import { messageOf } from "../../kernel/errors.ts";
import { EXIT_RUN_FAILED } from "./runner/arguments.ts";
import { runCommand } from "./runner/command.ts";

// A history that cannot be kept, or a defect of the suite: nothing may be concluded, and so it must not look as if a
// guarantee were broken, which is what Node's own exit code would say.
process.once("uncaughtException", (error) => {
  console.error(`chaos: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`);
  process.exit(EXIT_RUN_FAILED);
});

// Everything has ended by then. Left to end by itself, Node was seen to wait for ever, at full load, for esbuild's child.
process.exit(await runCommand(process.argv));
