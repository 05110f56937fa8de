import type { Command } from "./command.ts";
import { isList, type Reply } from "./reply.ts";

export type Access = "read-write" | "read-only";

interface CommandFacts {
  readonly flags: ReadonlySet<string>;
  /** ACL categories, with their @. */
  readonly categories: ReadonlySet<string>;
  /** A container's own entry says nothing of what its subcommands do. */
  readonly hasSubcommands: boolean;
}

/** What the connected Redis says of its commands, by lower-case name; a subcommand is `container|name`. */
export type CommandTable = ReadonlyMap<string, CommandFacts>;

/**
 * Commands are judged by what the server says they do, so that those of a newer server or of a module need no release
 * of ours, and what the server does not know is refused. These kinds are refused to everybody: they change the
 * connection, which others share, hold it up, or administer the server.
 */
const CATEGORIES_REFUSED = ["@admin", "@connection", "@transaction", "@blocking", "@pubsub"];
const FLAGS_REFUSED = ["admin", "blocking", "pubsub"];

/** Of the refused kinds, yet without their effect. */
const ALWAYS_ALLOWED = new Set(["ping", "echo", "publish", "spublish"]);

/**
 * Not of the refused kinds, yet with their effect: another database, a connection to another host, the state of a
 * debugger, the server's own addresses and users. Servers differ in how they class WAIT.
 */
const NAMES_REFUSED = new Set(
  "acl cluster info latency migrate module role swapdb wait waitaof script|debug script|kill function|kill".split(" "),
);

/** Reads with a way to wait, which callers may use without it. */
const MAY_BLOCK = new Set(["xread", "xreadgroup"]);

/** For a reader, besides what the server marks as reading only. */
const READER_ALLOWED = new Set(["ping", "echo", "time"]);
/** As with Upstash's read-only token: a reader who does not know a key cannot find it. */
const READER_NAMES_REFUSED = new Set(["keys", "scan", "randomkey"]);
const READER_CATEGORIES_REFUSED = ["@dangerous", "@scripting", "@pubsub"];

/** Why a command may not run, as an error in Redis' manner; undefined when it may. */
export function refusalOf(table: CommandTable, access: Access, command: Command): string | undefined {
  const name = command[0].toLowerCase();
  const subcommand = `${name}|${String(command[1] ?? "").toLowerCase()}`;
  const own = table.get(name);
  // Servers before 7 list no subcommands, and there the container speaks for all of them.
  const facts = own?.hasSubcommands && command.length > 1 ? table.get(subcommand) : own;
  if (facts === undefined) return `ERR unknown command '${quoted(name)}'${own ? " or subcommand" : ""}`;
  if (isRefused(name, subcommand, facts) || (MAY_BLOCK.has(name) && wouldBlock(command))) {
    return `ERR command '${quoted(name)}' is not available here: it would block, change the connection or administer`;
  }
  if (access === "read-only" && !isReading(name, facts)) {
    return `NOPERM this user has no permissions to run the '${quoted(name)}' command`;
  }
  return undefined;
}

function isRefused(name: string, subcommand: string, { flags, categories }: CommandFacts): boolean {
  if (ALWAYS_ALLOWED.has(name)) return false;
  if (NAMES_REFUSED.has(name) || NAMES_REFUSED.has(subcommand)) return true;
  if (MAY_BLOCK.has(name)) return false;
  return CATEGORIES_REFUSED.some((kind) => categories.has(kind)) || FLAGS_REFUSED.some((flag) => flags.has(flag));
}

function isReading(name: string, { flags, categories }: CommandFacts): boolean {
  if (READER_ALLOWED.has(name)) return true;
  if (READER_NAMES_REFUSED.has(name) || READER_CATEGORIES_REFUSED.some((kind) => categories.has(kind))) return false;
  return flags.has("readonly") && !flags.has("write");
}

/** Walks the options as Redis does: the names of a group and a consumer may be any word, also "block". */
function wouldBlock(command: Command): boolean {
  const skips: Readonly<Record<string, number>> = { count: 1, claim: 1, group: 2 };
  for (let index = 1; index < command.length; index++) {
    const option = String(command[index]).toLowerCase();
    if (option === "block") return true;
    if (option === "streams") return false;
    index += skips[option] ?? 0;
  }
  return false;
}

/** Reads the reply to COMMAND; throws when it is not one, which is a defect of the server or of us. */
export function readCommandTable(reply: Reply): CommandTable {
  const table = new Map<string, CommandFacts>();
  const add = (entry: Reply) => {
    if (!isList(entry)) throw new TypeError("The reply to COMMAND has not the form that is known.");
    const subcommands = isList(entry[9]) ? entry[9] : [];
    table.set(String(entry[0]).toLowerCase(), {
      flags: words(entry[2]),
      categories: words(entry[6]),
      hasSubcommands: subcommands.length > 0,
    });
    subcommands.forEach(add);
  };
  if (!isList(reply)) throw new TypeError("The reply to COMMAND is not a list.");
  reply.forEach(add);
  return table;
}

function words(reply: Reply | undefined): ReadonlySet<string> {
  return new Set(isList(reply) ? reply.map((word) => String(word).toLowerCase()) : []);
}

/** A caller's word in our answer: short enough to read. */
function quoted(word: string): string {
  return word.slice(0, 64);
}
