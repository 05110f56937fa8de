import { ErrorReply } from "@redis/client";
import { FingerpostError } from "../kernel/errors.ts";
import { refusalOf, type Access, type CommandTable } from "./access.ts";
import type { Command } from "./command.ts";
import type { Pool } from "./pool.ts";
import { errorText, isList, type Reply } from "./reply.ts";

export interface Executor {
  /** Runs commands in order on one connection, not as a transaction. One that is refused is an error reply; others run. */
  pipeline(access: Access, commands: readonly Command[]): Promise<Reply[]>;
  /**
   * Runs commands as one MULTI and EXEC. Resolves with one error when nothing was done: a command was refused here, or
   * by Redis as it was queued.
   */
  transaction(access: Access, commands: readonly Command[]): Promise<readonly Reply[] | ErrorReply>;
  /** Throws `unavailable` with the reason while commands cannot be run. */
  check(): void;
}

/** `reader` serves the read-only token: a pool of its own user, or the same one. All calls throw `unavailable`. */
export function createExecutor({ writer, reader }: { writer: Pool; reader: Pool }): Executor {
  const poolOf = (access: Access) => (access === "read-only" ? reader : writer);

  /** The reader's user may lack COMMAND: both talk to one server, and the writer's table is as good. */
  const tableOf = (access: Access): CommandTable => {
    const abilities = poolOf(access).abilities();
    if (!abilities) throw new FingerpostError("unavailable", "Redis is not reachable.", { retryAfterSeconds: 1 });
    const table = abilities.commands ?? writer.abilities()?.commands;
    if (!table) throw new FingerpostError("unavailable", "The gateway's Redis user must be allowed to run COMMAND.");
    return table;
  };

  return {
    async pipeline(access, commands) {
      const table = tableOf(access);
      const refusals = commands.map((command) => refusalOf(table, access, command));
      const allowed = commands.filter((_, index) => refusals[index] === undefined);
      const replies = allowed.length > 0 ? await poolOf(access).send(allowed) : [];
      let next = 0;
      return refusals.map((refusal) => (refusal === undefined ? (replies[next++] ?? null) : new ErrorReply(refusal)));
    },

    async transaction(access, commands) {
      const table = tableOf(access);
      const refusal = commands.map((command) => refusalOf(table, access, command)).find((text) => text !== undefined);
      if (refusal !== undefined) return discarded(refusal);
      const pool = poolOf(access);
      if (!pool.abilities()?.transactions) {
        return new ErrorReply("NOPERM this user has no permissions to run the 'multi' command");
      }
      const [begun, ...replies] = await pool.send([["MULTI"], ...commands, ["EXEC"]]);
      const result = replies.pop();
      if (isList(result)) return result;
      const cause = [begun, ...replies].find((reply) => reply instanceof ErrorReply);
      return discarded(cause instanceof ErrorReply ? errorText(cause) : "ERR Redis ran nothing");
    },

    check() {
      tableOf("read-write");
      tableOf("read-only");
    },
  };
}

function discarded(cause: string): ErrorReply {
  return new ErrorReply(`EXECABORT Transaction discarded because of previous errors: ${cause}`);
}
